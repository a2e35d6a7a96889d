/// What the reference says of each key, beside what it accepts and its default.
extension OptionKey {
    /// Keys that belong together, in the order of the reference.
    enum Topic: String, CaseIterable {
        case addresses = "Addresses"
        case credentials = "Credentials"
        case peers = "Peers"
        case limits = "Limits"
        case protocols = "Protocol"
        case dataPlane = "Data plane"
        case operation = "Operation"
    }

    var topic: Topic {
        switch self {
        case .listen, .relayAddress, .externalAddress, .relayPorts: .addresses
        case .realm, .user, .authSecret, .authSecretFile: .credentials
        case .peerProfile, .allowPeer, .denyPeer: .peers
        case .allocationsPerUser, .allocationsTotal, .permissionsPerAllocation, .channelsPerAllocation, .newPeerRate,
            .allocationRate, .allocationPacketRate, .userRate, .userPacketRate, .unauthenticatedRate:
            .limits
        case .nonceLifetime, .rfc5766ChannelNumbers: .protocols
        case .dataPlane, .fallback, .xdpInterface, .xdpMode, .xdpNextHop, .xdpRoutes, .xdpSlowPath, .offloads,
            .ioUringFeatures, .workers, .receiveBuffer, .sendBuffer:
            .dataPlane
        case .http, .httpTokenFile, .adminSocket, .otlpEndpoint, .otlpCAFile, .otlpInterval, .logLevel, .logFormat,
            .watchConfig,
            .alternateServer, .drainTimeout,
            .demo:
            .operation
        }
    }

    /// One sentence: what the key is for.
    var summary: String {
        switch self {
        case .listen: "Where clients come in, over UDP."
        case .relayAddress: "Where peers see the clients: the local addresses of relayed sockets, one or more a family."
        case .externalAddress:
            "What a relay address is called outside, behind 1:1 NAT: one for all, or one each in order."
        case .relayPorts: "The ports of relayed addresses."
        case .realm: "The realm of the credentials."
        case .user: "A user with a password that does not expire."
        case .authSecret: "The secret of time-limited credentials; several during a rotation."
        case .authSecretFile: "The same, one a line, in a file that only its owner can read: out of the process list."
        case .peerProfile: "Which peers may be reached unless listed: the Internet, or private ranges as well."
        case .allowPeer: "Peers that may be reached all the same; the longest match counts."
        case .denyPeer: "Peers that may not be reached; the longest match counts, and at equal length this one."
        case .allocationsPerUser: "Living allocations of one user; 0: no limit."
        case .allocationsTotal: "Living allocations of all users together; 0: no limit but the ports."
        case .permissionsPerAllocation: "Living permissions of one allocation; 0: no limit."
        case .channelsPerAllocation:
            "Channel bindings of one allocation, those that lapsed less than 5 minutes ago included; 0: no limit but the numbers."
        case .newPeerRate:
            "Peer addresses that one allocation may newly name, so many at once and a time; more get 508. 0: no limit."
        case .allocationRate:
            "What one allocation may relay in each direction, as payload; what is faster is dropped. 0: no limit."
        case .allocationPacketRate: "The same in datagrams a second; 0: no limit."
        case .userRate: "What all allocations of one user may relay together, in each direction; 0: no limit."
        case .userPacketRate: "The same in datagrams a second; 0: no limit."
        case .unauthenticatedRate: "Answers a second to one source without credentials; 0: no limit."
        case .nonceLifetime: "How long a nonce is good."
        case .rfc5766ChannelNumbers:
            "Accept channel numbers 0x5000 to 0x7FFF too, for old clients such as coturn 4.6's."
        case .dataPlane: "How datagrams are moved."
        case .fallback: "If the data plane that was asked for cannot start, take the best one that can."
        case .xdpInterface: "Where the XDP program goes."
        case .xdpMode: "In which mode: native in the driver, or generic, which works everywhere and is slower."
        case .xdpNextHop: "Where relayed frames go next: as the kernel's tables say (fib), or back (swap)."
        case .xdpRoutes: "Channel bindings that the kernel can hold; each takes 512 to 1,024 bytes."
        case .xdpSlowPath: "The plane below XDP, for what the kernel leaves to the program."
        case .offloads:
            "What io-uring and sockets may use where the host allows it: datagrams of one flow received (gro) and sent (gso) "
                + "together, single ones of many relayed addresses by raw sockets (raw)."
        case .ioUringFeatures:
            "What the io_uring plane uses besides, for hosts where measuring shows that it pays; the plane does not start "
                + "without what is named here."
        case .workers: "Threads, each with its share of the clients."
        case .receiveBuffer: "SO_RCVBUF of every socket."
        case .sendBuffer: "SO_SNDBUF of every socket."
        case .http: "Serve health, metrics and administration over HTTP here; off unless given."
        case .httpTokenFile: "The token that administration over HTTP asks for, in a file."
        case .adminSocket: "A unix socket for administration; off unless given."
        case .otlpEndpoint:
            "Send the metrics to an OpenTelemetry collector: OTLP over HTTP, as JSON; off unless given."
        case .otlpCAFile:
            "Certificates of the authorities that vouch for the collector, for https; those that this host trusts unless "
                + "given."
        case .otlpInterval: "How often metrics are sent."
        case .logLevel: "The least severe lines that are logged."
        case .logFormat: "How lines are written, one an event, on standard error."
        case .watchConfig: "Reload when the configuration file or the file of secrets changes."
        case .alternateServer:
            "Where a draining relay or listener sends new clients (300, ALTERNATE-SERVER); without it they get 508."
        case .drainTimeout: "How long a draining relay waits for its allocations before it ends."
        case .demo: "A relay on loopback with fresh credentials, to try."
        }
    }

    /// Whether a reload applies a new value; all others wait for a restart.
    var isReloadable: Bool {
        switch self {
        case .user, .authSecret, .authSecretFile, .peerProfile, .allowPeer, .denyPeer, .allocationsPerUser,
            .allocationsTotal, .permissionsPerAllocation, .channelsPerAllocation, .newPeerRate, .allocationRate,
            .allocationPacketRate, .userRate, .userPacketRate, .unauthenticatedRate, .nonceLifetime,
            .rfc5766ChannelNumbers, .logLevel, .alternateServer, .drainTimeout, .listen, .relayAddress,
            .externalAddress:
            true
        // What living sockets, maps and threads have in them; the realm, which clients have in their keys; the watch itself.
        case .relayPorts, .realm, .dataPlane, .fallback, .xdpInterface,
            .xdpMode, .xdpNextHop, .xdpRoutes, .xdpSlowPath, .offloads, .ioUringFeatures, .workers, .receiveBuffer,
            .sendBuffer, .http,
            .httpTokenFile, .adminSocket, .otlpEndpoint, .otlpCAFile, .otlpInterval, .logFormat, .watchConfig, .demo:
            false
        }
    }

    /// The default as a list of values, where it is values and not words about the host.
    var defaultValues: [String]? {
        switch self {
        case .relayAddress, .xdpInterface, .workers: nil
        case .listen: ["0.0.0.0:3478", "[::]:3478"]
        case .offloads: ["gro", "gso", "raw"]
        default: defaultText.map { [$0] }
        }
    }
}
