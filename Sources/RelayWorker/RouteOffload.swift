public import RelayCore

/// Where a plane that forwards by itself hears of the routes: cold, a few calls a control message. One instance per
/// worker and life of a plane, on the worker's thread.
public protocol RouteOffload: AnyObject {
    /// Takes over what changed, before the client hears of it.
    /// - Returns: what a route that ends has carried since it was last asked.
    func apply(_ delta: RouteDelta) -> RouteUsage?

    /// What each route carried since it was last asked. Asked once a second; the time for whatever else is periodic.
    func takeUsage() -> [RouteUsage]

    /// Routes that were installed and not removed, those among them that the plane has no room for.
    var routeCount: Int { get }

    /// Whether the plane found its routes other than it left them.
    var isInDoubt: Bool { get }

    /// Makes the routes equal to these again.
    /// - Returns: what those that end have carried since they were last asked.
    func reconcile(with routes: [Route]) -> [RouteUsage]

    /// Why the plane forwards no more; nothing while it does. Asked once a second: its run ends with this error.
    var failure: PlaneError? { get }
}

/// What a route carried without the worker seeing it.
public struct RouteUsage: Sendable, Equatable {
    public let id: RouteID
    public let traffic: AllocationTraffic

    public init(id: RouteID, traffic: AllocationTraffic) {
        self.id = id
        self.traffic = traffic
    }
}

extension Worker {
    /// How often the worker asks what was carried without it.
    @usableFromInline static var usageIntervalMilliseconds: UInt64 { 1000 }

    /// Runs a plane with an offload above it: all living routes are installed first.
    public mutating func run(
        _ plane: any DataPlane, offloadingTo offload: any RouteOffload
    ) throws(PlaneError) -> Departure {
        self.offload = offload
        usageAskedAt = turnBegan
        // At once, whatever the plane's clock says.
        usageDueAt = Instant(nanoseconds: 0)
        for route in core.activeRoutes { _ = offload.apply(.install(route)) }
        defer {
            credit(offload.takeUsage())
            for route in core.activeRoutes {
                if let usage = offload.apply(.remove(route.id)) { credit([usage]) }
            }
            self.offload = nil
            usageDueAt = nil
        }
        return try plane.run(&self)
    }

    @usableFromInline
    mutating func apply(_ delta: RouteDelta) {
        guard let usage = offload?.apply(delta) else { return }
        credit([usage])
    }

    /// Adds what was carried without the worker to the counters, and mends the plane's routes if they need it.
    /// - Returns: whether anything was carried.
    @usableFromInline
    mutating func collectUsage(at now: Instant) -> Bool {
        guard let offload else { return false }
        usageDueAt = now.advanced(byMilliseconds: Self.usageIntervalMilliseconds)
        let usages = offload.takeUsage()
        credit(usages)
        usageAskedAt = now
        if offload.isInDoubt || UInt64(offload.routeCount) != core.counters.channels {
            credit(offload.reconcile(with: core.activeRoutes))
        }
        return !usages.isEmpty
    }

    /// What went wrong with the offload, if anything did.
    @usableFromInline
    var offloadFailure: PlaneError? { offload?.failure }

    private mutating func credit(_ usages: [RouteUsage]) {
        for usage in usages {
            offloaded.add(usage.traffic)
            guard let late = core.credit(usage.id, usage.traffic, since: usageAskedAt, at: turnBegan) else { continue }
            lateTraffic.add(late)
        }
    }

    /// A note as it is told: the record of an allocation takes in what its last routes carried, which was known only
    /// when they were taken out of the plane.
    mutating func complete(_ note: Note) -> Note {
        guard case .allocationEnded(let summary, let reason, var traffic, let ageSeconds) = note else { return note }
        traffic.add(lateTraffic, by: core.offloader)
        lateTraffic = AllocationTraffic()
        return .allocationEnded(summary, reason, traffic, ageSeconds: ageSeconds)
    }
}
