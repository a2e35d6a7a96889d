public import STUN

/// The dense index of a channel binding in one core; reused after the binding is gone.
@frozen
public struct RouteID: Sendable, Hashable, BitwiseCopyable {
    public let index: UInt32

    @inlinable
    public init(index: UInt32) { self.index = index }
}

/// One channel binding as a data plane needs it, both directions in one value.
public struct Route: Sendable, Hashable {
    public let id: RouteID
    public let client: TransportAddress
    /// The address that the client talks to.
    public let server: TransportAddress
    public let channel: ChannelNumber
    /// The local address of the relayed transport address (inside of a 1:1 NAT).
    public let relay: TransportAddress
    /// The peer, as it stands in packets on this host (inside of a 1:1 NAT when it is a relayed address of ours).
    public let peer: TransportAddress
    /// The lease: the moment after which a plane that forwards by itself must stop.
    public var until: Instant
    /// How fast it may carry, in each direction.
    public var meters = RouteMeters.none
}

/// What changed about the routes.
public enum RouteDelta: Sendable, Hashable {
    case install(Route)
    case renew(RouteID, until: Instant)
    case remove(RouteID)
    /// The limits have changed while the route lives.
    case meter(RouteID, RouteMeters)
}
