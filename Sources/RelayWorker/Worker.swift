public import RelayCore
public import STUN

/// One thread's share of the relay: its core, its sockets, its inbox. It outlives every plane that drives it.
///
/// Nothing of it is shared but what is `Sendable` by itself, and it cannot be copied, so it may be handed to a thread.
public struct Worker: ~Copyable, @unchecked Sendable {
    /// The sockets of this worker.
    public internal(set) var sockets: SocketSet

    @usableFromInline var core: RelayCore
    @usableFromInline var effects = Effects()
    /// Indices of the batch that wait for the core; kept between turns for its room.
    @usableFromInline var controls = ScratchList<Int>()
    /// Which local address each datagram of the batch was sent to; kept between turns for its room.
    @usableFromInline var places = ScratchList<SocketSlot?>()
    /// Datagrams of the batch that have a route; kept between turns for its room.
    @usableFromInline var departures = ScratchList<Departing>()
    @usableFromInline var publishesAt: Instant?
    /// The plane that forwards by itself, while one does, and when it is asked next what it carried.
    var offload: (any RouteOffload)?
    /// What planes forwarded by themselves, in all of their lives.
    @usableFromInline var offloaded = AllocationTraffic()
    @usableFromInline var usageDueAt: Instant?
    /// What routes carried whose allocation ended with them, until its note is told.
    var lateTraffic = AllocationTraffic()
    @usableFromInline var turns = TurnTimes()
    /// Whether the worker keeps up, and what it had dropped when it last did.
    @usableFromInline var backlog = Backlog()
    var shedBefore: UInt64 = 0
    /// When the present turn began.
    @usableFromInline var turnBegan = Instant(nanoseconds: 0)
    /// When the plane above was last asked what it carried by itself.
    @usableFromInline var usageAskedAt = Instant(nanoseconds: 0)
    @usableFromInline let link: WorkerLink
    /// Called once in the life of each plane, when it watches every socket.
    var onStart: (() -> Void)?
    var vantages = VantageTable()
    @usableFromInline var listeners: [WorkerListener] = []
    /// Listeners that close before the turn ends.
    @usableFromInline var closing: [WorkerListener] = []
    let opener: any SocketOpener
    let reserved: ReservedSockets
    let notes: NoteSink

    /// Takes the worker's parts together. The listeners are bound before any plane runs.
    ///
    /// - Parameters:
    ///   - core: freshly made; the worker tells it of its listeners.
    ///   - listeners: the addresses of this worker's sockets in each `SO_REUSEPORT` group.
    ///   - opener: binds and closes sockets.
    ///   - reserved: shared by all workers, so that a token claims its sibling from any of them.
    ///   - link: how others reach this worker and what they see of it.
    ///   - notes: called on the worker's thread, never for a packet; must not block.
    public init(
        core: consuming RelayCore, listeners: [TransportAddress], opener: any SocketOpener,
        reserved: ReservedSockets, link: WorkerLink, notes: @escaping NoteSink
    ) throws(SocketError) {
        self.core = core
        self.opener = opener
        self.reserved = reserved
        self.link = link
        self.notes = notes
        sockets = SocketSet(wakeDescriptor: link.wakeDescriptor)
        for address in listeners {
            try listen(at: address)
        }
    }

    private mutating func listen(at address: TransportAddress) throws(SocketError) {
        let descriptor = try opener.openListener(at: address)
        let isWildcard = address.ip.isUnspecified
        let slot = sockets.insert(
            SocketEntry(descriptor: descriptor, role: .listener(isWildcard: isWildcard), local: address))
        listeners.append(WorkerListener(slot: slot, address: address, standing: .open, isWatched: false))
        // A wildcard listener is nobody's server address: its vantages are.
        if !isWildcard { core.listen(on: slot, at: address) }
    }

    deinit {
        link.close()
        for slot in sockets.slots {
            guard case .vantage = sockets[slot].role else {
                opener.close(sockets[slot].descriptor)
                continue
            }
        }
    }
}

/// Where notes go.
public typealias NoteSink = @Sendable (Note) -> Void
