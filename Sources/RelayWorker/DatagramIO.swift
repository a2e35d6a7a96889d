public import RelayCore
public import STUN

/// What a plane knows about one received datagram besides its bytes.
@frozen
public struct Arrival: Sendable, BitwiseCopyable {
    /// The socket that it came in on. For a wildcard listener this is the listener's own slot;
    /// the worker turns it and `destination` into the slot of that local address.
    public let slot: SocketSlot
    public let source: TransportAddress
    /// The local address that it was sent to, filled for wildcard listeners only (`IP_PKTINFO`, `IPV6_PKTINFO`).
    public let destination: IPAddress?

    @inlinable
    public init(slot: SocketSlot, source: TransportAddress, destination: IPAddress?) {
        self.slot = slot
        self.source = source
        self.destination = destination
    }
}

/// An ICMP error that came back for something a relay socket sent: what `MSG_ERRQUEUE` tells.
@frozen
public struct ICMPReport: Sendable, BitwiseCopyable {
    public let slot: SocketSlot
    /// The peer that the failed datagram was sent to.
    public let peer: TransportAddress
    /// The ICMP or ICMPv6 type and code, and the MTU for "too big" or "fragmentation needed" (else 0).
    public let error: ICMPAttribute

    @inlinable
    public init(slot: SocketSlot, peer: TransportAddress, error: ICMPAttribute) {
        self.slot = slot
        self.peer = peer
        self.error = error
    }
}

/// The hot half of the seam: datagrams in and out in batches, generic, one instance per worker and life of a plane.
///
/// The loop calls in this order, over and over: `receive`, then for each index `arrival`, `bytes` and exactly one
/// of `forward` or `release`, in any order; `takeReports`; `send` for what the core answers; `flush`.
/// Nothing here allocates, retains, locks or logs once the instance is warm.
public protocol DatagramIO: ~Copyable {
    /// Starts to watch a socket of the set. The set keeps owning the descriptor.
    ///
    /// When it throws, the socket is not watched: at the start of a plane's life that ends the plane, later it is the
    /// refusal of the one allocation that the socket was for.
    mutating func attach(_ slot: SocketSlot, of sockets: borrowing SocketSet) throws(PlaneError)

    /// Stops watching a socket. What was queued from this slot has been flushed or is dropped and counted;
    /// afterwards the worker may close the descriptor and reuse the slot.
    mutating func detach(_ slot: SocketSlot)

    /// Waits until a socket has datagrams, the set's wake descriptor is signalled, or `deadline` has come
    /// (nil: for ever; a deadline in the past: does not wait), then takes at most one batch.
    /// - Returns: how many datagrams stand at the indices `0..<n`. Zero after a wake-up or at the deadline.
    mutating func receive(until deadline: Instant?) throws(PlaneError) -> Int

    /// The most datagrams that one `receive` returns. A worker whose batches are half full or more, turn after turn, cannot
    /// keep up.
    var batchLimit: Int { get }

    /// Takes nothing more from the sockets, for good: the plane is about to be left. What it took before comes by
    /// `receive`, which does not wait any more and returns zero when all of it has been presented.
    mutating func stopReceiving()

    /// Source and slot of datagram `index` of this batch.
    func arrival(_ index: Int) -> Arrival

    /// The UDP payload of datagram `index`, valid until the next mutating call.
    @_lifetime(borrow self)
    func bytes(_ index: Int) -> RawSpan

    /// Asks the memory for what ``forward(_:_:)`` will need of the plane's own to send by this hop; nothing else.
    func anticipate(_ hop: Hop)

    /// Queues datagram `index` to leave as `hop` says, DSCP and ECN carried across. Takes the buffer.
    mutating func forward(_ index: Int, _ hop: Hop)

    /// Gives the buffer of datagram `index` back.
    mutating func release(_ index: Int)

    /// Copies one datagram of the core's own making and queues it.
    /// - Parameter dontFragment: set the IPv4 DF bit (and never fragment IPv6) for this datagram.
    mutating func send(
        _ payload: RawSpan, from slot: SocketSlot, to destination: TransportAddress, dontFragment: Bool)

    /// Hands everything queued to the kernel. What the kernel refuses is dropped and counted, never kept for ever.
    mutating func flush() throws(PlaneError)

    /// The next ICMP report from a socket's error queue, if one waits. A turn takes a bounded number; while more wait,
    /// `receive` returns at once.
    mutating func nextReport() -> ICMPReport?

    /// What the clocks say now; the loop asks once a turn, and at its end if it had something to do.
    func now() -> Moment

    /// What this plane counted since it was made: totals, never reset.
    var counters: PlaneCounters { get }
}
