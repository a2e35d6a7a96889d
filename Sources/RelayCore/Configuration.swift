public import STUN

/// Everything that the core is told at start. The defaults are those of `relayd`.
public struct Configuration: Sendable {
    /// The realm of the long-term credentials. Short on purpose: every 401 carries it.
    public var realm = "relayd"
    /// Users with a password of their own.
    public var users: [StaticUser] = []
    /// Secrets of time-limited credentials (`expiry:user`, base64 of HMAC-SHA1); any of them opens the door.
    public var authSecrets: [String] = []
    /// Where relayed transport addresses are made, one or more a family.
    public var relayAddresses: [RelayAddress] = []
    /// The ports of relayed transport addresses.
    public var relayPorts: ClosedRange<UInt16> = 49152...65535
    /// Which peers may be named.
    public var peerPolicy = PeerPolicy(profile: .public, allow: [], deny: [])
    /// This host's own addresses. As peers they are denied unless the port is a relayed one in use, or the
    /// policy's allow list names exactly that address.
    public var ownAddresses: [IPAddress] = []
    /// Living allocations of one user, all workers together; 0: no limit.
    public var allocationsPerUser = 100
    /// Living allocations of all users and workers together; 0: no limit.
    public var allocationsTotal = 0
    /// Living permissions of one allocation; 0: no limit.
    public var permissionsPerAllocation = 128
    /// Channel bindings of one allocation, those in their cool-down included; 0: no limit but the numbers.
    public var channelsPerAllocation = 0
    /// New peers of one allocation, named by CreatePermission or ChannelBind.
    public var newPeerRate = PeerRate.none
    /// Relayed traffic of one allocation, each direction for itself.
    public var allocationRate = RateLimit.none
    /// Relayed traffic of one user, all of their allocations together, each direction for itself.
    public var userRate = RateLimit.none
    /// Living allocations of one worker; 0: no limit but the ports.
    public var allocationsPerWorker = 0
    /// Answers a second to one source (/32, /64) that showed no valid credentials; 0: no limit.
    public var unauthenticatedRate = 500
    /// The channel numbers that ChannelBind accepts.
    public var channelNumbers = ChannelNumber.Range.rfc8656
    /// How long a nonce is good; a client gets 438 and a fresh one afterwards.
    public var nonceLifetimeSeconds: UInt32 = 600
    /// Whether allocations are granted, and what is said when not.
    public var admission = Admission.open
    /// The same on a listener that is to be closed.
    public var leavingAdmission = Admission.redirect(ipv4: nil, ipv6: nil)

    public init() {}
}

/// A user of the long-term credential mechanism with a password that does not expire.
public struct StaticUser: Sendable, Hashable {
    public let name: String
    public let password: String

    public init(name: String, password: String) {
        self.name = name
        self.password = password
    }
}

/// A local address for relayed transport addresses, and what the world knows it by.
public struct RelayAddress: Sendable, Hashable {
    /// The address that sockets are bound to.
    public let address: IPAddress
    /// The address that clients are told, where a 1:1 NAT stands before the relay.
    public let external: IPAddress?

    public init(address: IPAddress, external: IPAddress? = nil) {
        precondition(external == nil || external?.family == address.family, "a NAT keeps the family")
        self.address = address
        self.external = external
    }

    /// The address that stands in XOR-RELAYED-ADDRESS.
    public var advertised: IPAddress { external ?? address }
}

/// Whether new allocations are granted.
public enum Admission: Sendable, Hashable {
    case open
    /// Answered 300 with the alternate of the client's family, or 508 where that family has none (RFC 8489 section 10).
    case redirect(ipv4: TransportAddress?, ipv6: TransportAddress?)
}

/// The times and bounds of RFC 8656 that no option changes.
enum RFC8656 {
    /// RFC 8656 section 3.2: the lifetime of an allocation that asks for none, and the shortest one granted.
    static let defaultLifetimeSeconds: UInt32 = 600
    /// The longest lifetime granted.
    static let maximumLifetimeSeconds: UInt32 = 3600
    /// RFC 8656 section 9.
    static let permissionSeconds: UInt32 = 300
    /// RFC 8656 section 12.
    static let channelSeconds: UInt32 = 600
    /// RFC 8656 section 12: how long a lapsed channel number and its peer stay bound to each other.
    static let channelCoolDownSeconds: UInt32 = 300
    /// RFC 8656 section 7.2: how long a reserved port waits for its token.
    static let reservationSeconds: UInt32 = 30
    /// RFC 8656 section 18.7: the protocol number of REQUESTED-TRANSPORT that is understood, UDP.
    static let udp: UInt8 = 17
    /// How many ports an Allocate tries before it answers 508.
    static let openAttempts = 16
}
