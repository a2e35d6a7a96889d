public import STUN

/// What the core decides for one datagram, without an effect and without an allocation.
@frozen
public enum Verdict: Sendable, BitwiseCopyable {
    /// It has a route: relay it as the hop says, if ``RelayCore/admit(_:at:)`` lets it leave.
    case forward(Hop)
    /// Hand it to ``RelayCore/receive(_:on:from:at:into:)``.
    case control
    /// Forget it; the core has counted the reason.
    case drop
}

/// How one datagram leaves the relay.
@frozen
public struct Hop: Sendable, BitwiseCopyable {
    /// How the payload is framed on its way out.
    @frozen
    public enum Framing: Sendable, BitwiseCopyable {
        /// Channel data in, plain UDP out: the payload is `payloadByteCount` bytes from offset 4; what follows is padding.
        case unwrap
        /// Plain UDP in, channel data out: four bytes of header (channel number, length) go before the whole datagram.
        case wrap(ChannelNumber)
    }

    /// The socket to send from.
    public let egress: SocketSlot
    public let payloadByteCount: UInt16
    public let framing: Framing
    public let destination: TransportAddress
    /// The channel binding that the datagram belongs to.
    public let route: RouteID

    @inlinable
    public init(
        egress: SocketSlot, destination: TransportAddress, framing: Framing, payloadByteCount: UInt16,
        route: RouteID
    ) {
        self.egress = egress
        self.destination = destination
        self.route = route
        self.framing = framing
        self.payloadByteCount = payloadByteCount
    }
}
