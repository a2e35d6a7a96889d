/// Every key of the configuration, once: the flag `--KEY`, the environment variable `RELAYD_KEY` and the YAML key all
/// derive from it, and so do `relayd check`, the messages about bad values, and the reference (`relayd options`).
enum OptionKey: String, CaseIterable, Sendable {
    case listen
    case relayAddress = "relay-address"
    case externalAddress = "external-address"
    case relayPorts = "relay-ports"
    case realm
    case user
    case authSecret = "auth-secret"
    case authSecretFile = "auth-secret-file"
    case peerProfile = "peer-profile"
    case allowPeer = "allow-peer"
    case denyPeer = "deny-peer"
    case allocationsPerUser = "allocations-per-user"
    case allocationsTotal = "allocations-total"
    case permissionsPerAllocation = "permissions-per-allocation"
    case channelsPerAllocation = "channels-per-allocation"
    case newPeerRate = "new-peer-rate"
    case allocationRate = "allocation-rate"
    case allocationPacketRate = "allocation-packet-rate"
    case userRate = "user-rate"
    case userPacketRate = "user-packet-rate"
    case unauthenticatedRate = "unauthenticated-rate"
    case nonceLifetime = "nonce-lifetime"
    case rfc5766ChannelNumbers = "rfc5766-channel-numbers"
    case dataPlane = "data-plane"
    case fallback
    case xdpInterface = "xdp-interface"
    case xdpMode = "xdp-mode"
    case xdpNextHop = "xdp-next-hop"
    case xdpRoutes = "xdp-routes"
    case xdpSlowPath = "xdp-slow-path"
    case offloads
    case ioUringFeatures = "io-uring-features"
    case workers
    case receiveBuffer = "receive-buffer"
    case sendBuffer = "send-buffer"
    case http
    case httpTokenFile = "http-token-file"
    case adminSocket = "admin-socket"
    case otlpEndpoint = "otlp-endpoint"
    case otlpCAFile = "otlp-ca-file"
    case otlpInterval = "otlp-interval"
    case logLevel = "log-level"
    case logFormat = "log-format"
    case watchConfig = "watch-config"
    case alternateServer = "alternate-server"
    case drainTimeout = "drain-timeout"
    case demo

    /// How a key is written.
    enum Shape: Sendable {
        case single
        /// May be repeated: more flags, commas in the environment, a list in YAML.
        case list
        /// On or off; the bare flag means on.
        case flag
    }

    var shape: Shape {
        switch self {
        case .listen, .relayAddress, .externalAddress, .user, .authSecret, .allowPeer, .denyPeer,
            .xdpInterface, .offloads, .ioUringFeatures, .alternateServer:
            .list
        case .rfc5766ChannelNumbers, .fallback, .demo: .flag
        default: .single
        }
    }

    /// Never shown: not in errors, not by `relayd check`, not in the log.
    var isSecret: Bool { self == .user || self == .authSecret }

    var environmentName: String {
        "RELAYD_" + rawValue.uppercased().replacing("-", with: "_")
    }

    /// What a value may be, in a person's words.
    var accepted: String {
        switch self {
        case .listen: "an address and a port, such as 192.0.2.1:3478, [2001:db8::1]:3478 or 0.0.0.0:3478"
        case .relayAddress, .externalAddress: "an IP address, such as 192.0.2.1 or 2001:db8::1"
        case .relayPorts: "a range of ports from 1 to 65535, such as 49152-65535"
        case .realm: "a name of 1 to 127 bytes, such as example.org"
        case .user: "NAME:PASSWORD, the name without a colon"
        case .authSecret: "a secret that is not empty"
        case .authSecretFile: "the path of a file with one secret a line that only its owner can read"
        case .peerProfile: "public or private-network"
        case .allowPeer, .denyPeer: "a network such as 10.0.0.0/8 or 2001:db8::/32, or an address"
        case .allocationsPerUser, .allocationsTotal, .permissionsPerAllocation, .channelsPerAllocation,
            .unauthenticatedRate:
            "a whole number from 0 (no limit) to 1000000"
        case .newPeerRate: "a number from 1 to 1000000 a time, such as 60/min, 5/s or 1000/h, or 0 (no limit)"
        case .allocationRate, .userRate:
            "bits a second from 8 to 100Gbit, such as 2Mbit, 1.5Mbit, 800kbit or 64000, or 0 (no limit)"
        case .allocationPacketRate, .userPacketRate:
            "datagrams a second, a whole number from 1 to 100000000, or 0 (no limit)"
        case .nonceLifetime: "a time from 60s to 8h: seconds, or a number with s, m or h"
        case .rfc5766ChannelNumbers, .fallback, .watchConfig, .demo: "true or false"
        case .dataPlane: "auto, xdp, io-uring or socket"
        case .xdpInterface: "the name of a network interface, such as eth0"
        case .xdpMode: "auto, native or generic"
        case .xdpNextHop: "fib or swap"
        case .xdpRoutes: "a whole number from 1 to 1048576"
        case .xdpSlowPath: "auto, io-uring or socket"
        case .offloads: "gro, gso or raw, one or more, or none"
        case .ioUringFeatures: "sqpoll, napi or zero-copy"
        case .workers: "a whole number from 1 to 256"
        case .receiveBuffer, .sendBuffer: "a size from 4KiB to 1GiB: bytes, or a number with KiB, MiB or GiB"
        case .http: "an address and a port, such as 127.0.0.1:9090"
        case .httpTokenFile: "the path of a file with one token that only its owner can read"
        case .adminSocket: "an absolute path of at most 107 bytes, such as /run/relayd/admin.sock"
        case .otlpEndpoint:
            "http://HOST or https://HOST, with a port and a path if they are not 4318 and /v1/metrics"
        case .otlpCAFile: "the path of a file of certificates in PEM"
        case .otlpInterval: "a time from 1s to 1h: seconds, or a number with s, m or h"
        case .logLevel: "trace, debug, info, notice, warning, error or critical"
        case .logFormat: "text or json"
        case .alternateServer: "an address and a port, such as 192.0.2.2:3478, one a family"
        case .drainTimeout: "a time from 0s (no limit) to 7d: seconds, or a number with s, m, h or d"
        }
    }

    /// What holds when nothing is said; nothing where that depends on the host.
    var defaultText: String? {
        switch self {
        case .listen: "0.0.0.0:3478, [::]:3478"
        case .relayAddress: "the addresses of the default routes"
        case .relayPorts: "49152-65535"
        case .realm: "relayd"
        case .peerProfile: "public"
        case .allocationsPerUser: "100"
        case .allocationsTotal: "0"
        case .permissionsPerAllocation: "128"
        case .channelsPerAllocation, .newPeerRate, .allocationRate, .allocationPacketRate, .userRate, .userPacketRate:
            "0"
        case .unauthenticatedRate: "500"
        case .nonceLifetime: "10m"
        case .rfc5766ChannelNumbers, .fallback, .demo: "false"
        case .dataPlane: "auto"
        case .xdpInterface: "those that carry the relay's addresses"
        case .xdpMode: "native"
        case .xdpNextHop: "fib"
        case .xdpRoutes: "16384"
        case .xdpSlowPath: "auto"
        case .offloads: "gro, gso, raw"
        case .workers: "one a CPU"
        case .receiveBuffer, .sendBuffer: "1MiB"
        case .otlpInterval: "15s"
        case .logLevel: "info"
        case .logFormat: "text"
        case .watchConfig: "true"
        case .drainTimeout: "1h"
        default: nil
        }
    }

    /// The key that a misspelt one probably meant: the nearest by edit distance, if it is near.
    static func nearest(to text: String) -> OptionKey? {
        let candidates = allCases.map { ($0, editDistance(text, $0.rawValue)) }
        guard let best = candidates.min(by: { $0.1 < $1.1 }), best.1 <= max(2, text.count / 4) else { return nil }
        return best.0
    }
}

/// How many insertions, deletions and replacements turn one text into the other.
private func editDistance(_ left: String, _ right: String) -> Int {
    let (left, right) = (Array(left), Array(right))
    var row = Array(0...right.count)
    for (i, character) in left.enumerated() {
        var diagonal = row[0]
        row[0] = i + 1
        for (j, other) in right.enumerated() {
            let replaced = diagonal + (character == other ? 0 : 1)
            diagonal = row[j + 1]
            row[j + 1] = min(replaced, row[j] + 1, row[j + 1] + 1)
        }
    }
    return row[right.count]
}
