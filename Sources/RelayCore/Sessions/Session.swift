public import STUN

/// One living allocation as an operator sees it.
public struct Session: Sendable, Hashable {
    public let id: SessionID
    public let summary: AllocationSummary
    public let ageSeconds: UInt32
    /// Until its last relayed address lapses.
    public let lifetimeSeconds: UInt32
    public let permissionCount: Int
    /// Channel bindings, those in their cool-down included.
    public let channelCount: Int
    public let traffic: SessionTraffic
    public let overLimit: SessionOverLimit
}

/// Whether a session, or its user, goes faster than it may.
public struct SessionOverLimit: Sendable, Hashable {
    /// Its datagrams that were dropped for that, both directions together; those that the kernel dropped by itself are
    /// not among them.
    public let droppedCount: UInt64
    /// One of them within the last two seconds.
    public let isLimited: Bool
}

/// What hangs on one relayed transport address of a session, the first ``limit`` of each kind.
public struct SessionRelay: Sendable, Hashable {
    public static let limit = 1000

    /// The local address that the socket is bound to.
    public let local: TransportAddress
    /// The address that clients and peers know.
    public let relayed: TransportAddress
    public let lifetimeSeconds: UInt32
    public let permissions: [SessionPermission]
    public let channels: [SessionChannel]
}

public struct SessionPermission: Sendable, Hashable {
    public let peer: IPAddress
    public let lifetimeSeconds: UInt32
}

public struct SessionChannel: Sendable, Hashable {
    public let number: ChannelNumber
    public let peer: TransportAddress
    /// Zero in the cool-down.
    public let lifetimeSeconds: UInt32
    /// It forwards: the binding and the permission are both alive.
    public let isActive: Bool
    public let traffic: AllocationTraffic
}

/// One session with all that hangs on it.
public struct SessionDetail: Sendable, Hashable {
    public let session: Session
    public let relays: [SessionRelay]
}

/// Which sessions are meant; a session has to fit all that is said.
public struct SessionFilter: Sendable, Hashable {
    /// An address, with any port or with one.
    public struct Endpoint: Sendable, Hashable {
        public let ip: IPAddress
        public let port: UInt16?

        /// `192.0.2.1`, `192.0.2.1:5000`, `2001:db8::1` or `[2001:db8::1]:5000`.
        public init?(_ text: String) {
            if let ip = IPAddress(text) {
                (self.ip, port) = (ip, nil)
            } else if let address = TransportAddress(text) {
                (ip, port) = (address.ip, address.port)
            } else {
                return nil
            }
        }

        func contains(_ address: TransportAddress) -> Bool {
            ip == address.ip && (port == nil || port == address.port)
        }
    }

    /// The user name, or for time-limited credentials the user in it.
    public var user: String?
    public var client: Endpoint?
    /// Without a port: a permission for it lives. With one: a channel is bound to it.
    public var peer: Endpoint?

    public init(user: String? = nil, client: Endpoint? = nil, peer: Endpoint? = nil) {
        self.user = user
        self.client = client
        self.peer = peer
    }
}

/// A part of a list of sessions.
public struct SessionPage: Sendable, Hashable {
    public var sessions: [Session]
    /// The place where the next part begins; nothing behind the last one.
    public var next: UInt32?
}
