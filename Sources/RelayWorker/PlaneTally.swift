public import RelayCore

/// What one plane did for a worker in all of its lives.
public struct PlaneTally: Sendable, Equatable {
    public internal(set) var counters = PlaneCounters()
    /// Payloads that this plane relayed by channel data.
    public internal(set) var channelTraffic = AllocationTraffic()
    /// Payloads that this plane relayed by Send and Data indications.
    public internal(set) var indicationTraffic = AllocationTraffic()

    public init() {}

    public init(counters: PlaneCounters, channelTraffic: AllocationTraffic) {
        self.counters = counters
        self.channelTraffic = channelTraffic
    }

    public mutating func add(_ other: PlaneTally) {
        counters.add(other.counters)
        channelTraffic.add(other.channelTraffic)
        indicationTraffic.add(other.indicationTraffic)
    }
}

/// Which plane did what: the totals that a worker shows are over all planes, and a plane's own end with its life.
struct PlaneTallies: Sendable {
    /// What planes that ended have done, by name.
    private var past: [String: PlaneTally] = [:]
    private var current: (name: String, slowPath: String)?
    /// The worker's totals when the current plane took over.
    private var baseline = WorkerSnapshot(core: Counters(), plane: PlaneCounters(), offloaded: AllocationTraffic())

    /// Another plane takes over; `last` is what the worker showed at the end of the one before.
    mutating func enter(_ plane: any DataPlane, after last: WorkerSnapshot) {
        past = tallies(at: last)
        current = (plane.name, plane.slowPathName)
        baseline = last
    }

    /// What each plane has done so far.
    func tallies(at now: WorkerSnapshot) -> [String: PlaneTally] {
        guard let current else { return past }
        var offloaded = PlaneTally()
        offloaded.channelTraffic = now.offloaded.since(baseline.offloaded)
        var slowPath = PlaneTally()
        slowPath.counters = now.plane
        slowPath.channelTraffic = now.core.channelTraffic.since(baseline.core.channelTraffic)
            .since(offloaded.channelTraffic)
        slowPath.indicationTraffic = now.core.indicationTraffic.since(baseline.core.indicationTraffic)
        var all = past
        all[current.slowPath, default: PlaneTally()].add(slowPath)
        all[current.name, default: PlaneTally()].add(offloaded)
        return all
    }
}
