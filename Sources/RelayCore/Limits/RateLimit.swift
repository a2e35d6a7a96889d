/// The largest rate of one direction of an allocation or of a user: what is faster is dropped.
@frozen
public struct RateLimit: Sendable, Hashable {
    /// How long a sender that was silent may go on at any speed, as time at the limit; but see ``leastBurstByteCount``.
    public static let burstMilliseconds: UInt64 = 250
    /// A video frame's worth of datagrams passes whatever the limit is.
    public static let leastBurstByteCount: UInt64 = 65_536
    public static let leastBurstPacketCount: UInt64 = 64

    /// Of payload, as a peer sends or gets it; 0: no limit. From 8.
    public let bitsPerSecond: UInt64
    /// Datagrams; 0: no limit.
    public let packetsPerSecond: UInt64

    public init(bitsPerSecond: UInt64 = 0, packetsPerSecond: UInt64 = 0) {
        self.bitsPerSecond = bitsPerSecond
        self.packetsPerSecond = packetsPerSecond
    }

    public static let none = RateLimit()

    public var isNone: Bool { self == .none }
}

/// Names what a rate is counted for: an allocation of this relay, or a user. Not given to anything else while the relay
/// runs.
@frozen
public struct MeterID: Sendable, Hashable, BitwiseCopyable {
    public let rawValue: UInt64

    public init(rawValue: UInt64) { self.rawValue = rawValue }
}

/// A rate that is counted for all routes that name the same meter, each direction for itself.
@frozen
public struct RouteMeter: Sendable, Hashable {
    public let id: MeterID
    public let limit: RateLimit

    public init(id: MeterID, limit: RateLimit) {
        self.id = id
        self.limit = limit
    }
}

/// The meters that a route is held to; a datagram passes all of them or is dropped, and then counts in none.
@frozen
public struct RouteMeters: Sendable, Hashable {
    public var allocation: RouteMeter?
    public var user: RouteMeter?

    public init(allocation: RouteMeter? = nil, user: RouteMeter? = nil) {
        self.allocation = allocation
        self.user = user
    }

    public static let none = RouteMeters()
}
