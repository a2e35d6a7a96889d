public import STUN

/// The TURN server as a state machine: facts in, effects out.
///
/// No sockets, no clock, no randomness of its own, no log. Time, bind results and entropy are arguments: the same seed
/// and the same script give the same bytes. One instance belongs to one worker's thread.
public struct RelayCore: ~Copyable {
    var configuration: Configuration
    /// Set while draining: it beats the configuration's admission.
    var drained: Admission?
    let ledger: RelayLedger
    let worker: Int
    let workerCount: Int
    var entropy: EntropySource
    var authenticator: Authenticator
    var unauthenticated: TokenBuckets

    var slots = SlotTable()
    var allocations = Pool<Allocation>()
    var permissions = Pool<Permission>()
    var channels = Pool<Channel>()
    /// What each channel carried, by its index in ``channels``: written per packet, so apart from the rest.
    var traffic = TrafficTable()
    /// What the limits on traffic count, and the limits as the meters need them.
    var meters = AllocationMeters()
    var allocationPaces: Paces
    var userPaces: Paces
    /// There is a limit; nothing is counted without one.
    var isMetered: Bool
    /// How many allocations were given a meter so far.
    var meterCount: UInt64 = 0
    /// Whoever has no allocation is not answered now; see ``shed(_:)``.
    var isShedding = false
    /// How many challenges are given while behind; see ``isShed(_:on:from:at:)``.
    let challengePace = Pace.packets(perSecond: Self.challengesPerSecond)
    var challengedUntil: UInt64 = 0
    /// The allocations of routes that the last call ended: a plane tells afterwards what those carried.
    var removedRoutes: [RouteID: RemovedRoute] = [:]
    /// The siblings that this core reserved and that nobody claimed yet.
    var reservations = Pool<Reserved>()

    var clients: FlatTable<ClientKey, UInt32>
    var outbound: FlatTable<ChannelKey, OutboundRoute>
    var inbound: FlatTable<PeerKey, InboundRoute>
    var permitted: FlatTable<PermissionKey, UInt32>

    /// Those of the configuration, and those that it does not name any more.
    var relays: [RelayPorts] = []
    /// The relayed ports in use, of all workers.
    var relayedPorts: RelayedPorts
    /// Who hangs on each listener's slot, and which take no more.
    var attendance = ListenerAttendance()
    /// Which planes carry the sessions.
    var carriers = Carriers()
    /// What is known of who carried the traffic of an allocation, by its index; the rest is the userspace plane's that
    /// runs now. Apart from the allocations, as few have any and every copy of one would count its references.
    var carried: [UInt32: SessionTraffic] = [:]

    var timers: TimerWheel
    var released: ReleasedAnswers

    /// What happened so far.
    public var counters = Counters()

    /// - Parameters:
    ///   - ledger: shared by all cores of one relay.
    ///   - worker: this core's number, which picks its share of the ports.
    ///   - workers: how many cores share the ports.
    public init(
        _ configuration: Configuration, ledger: RelayLedger, worker: Int = 0, of workers: Int = 1,
        entropy: Entropy = .system, at moment: Moment
    ) {
        precondition(worker >= 0 && worker < workers, "a worker's number is below the number of workers")
        self.configuration = configuration
        self.ledger = ledger
        self.worker = worker
        workerCount = workers
        relayedPorts = ledger.relayedPorts(on: configuration.relayAddresses)
        var source = EntropySource(entropy)
        authenticator = Authenticator(configuration, at: moment, entropy: &source)
        unauthenticated = Self.unauthenticatedBuckets(configuration, seed: source.next())
        let (allocationPaces, userPaces) = (Paces(configuration.allocationRate), Paces(configuration.userRate))
        self.allocationPaces = allocationPaces
        self.userPaces = userPaces
        // Of the locals: a closure over a half-made value, such as the right side of `||`, is miscompiled with optimisation.
        isMetered = !allocationPaces.isNone || !userPaces.isNone
        clients = FlatTable(minimumCapacity: 64, seed: source.next())
        outbound = FlatTable(minimumCapacity: 64, seed: source.next())
        inbound = FlatTable(minimumCapacity: 64, seed: source.next())
        permitted = FlatTable(minimumCapacity: 64, seed: source.next())
        timers = TimerWheel(start: moment.monotonic)
        released = ReleasedAnswers()
        self.entropy = source
        offer(configuration.relayAddresses)
    }

    /// Counts a datagram that came to an address which nothing can be answered from.
    public mutating func countUnanswerable() { counters.count(.unanswerable) }

    /// When ``expire(at:into:)`` has something to do next; nothing if no timer runs.
    public var deadline: Instant? { timers.deadline }

    /// Handles one message that ``classify(_:on:from:)`` called control.
    public mutating func receive(
        _ datagram: RawSpan, on slot: SocketSlot, from source: TransportAddress, at moment: Moment,
        into effects: inout Effects
    ) {
        forgetRemovedRoutes()
        switch slots[slot] {
        case .listener:
            receiveFromClient(datagram, on: slot, from: source, at: moment, into: &effects)
        case .relay(let allocation, let family):
            indicateData(datagram, from: source, to: allocation, family, at: moment.monotonic, into: &effects)
        case .unused:
            counters.count(.noAllocation)
        }
    }
}
