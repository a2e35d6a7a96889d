public import RelayCore

/// Where a plane that forwards by itself hears of the routes: cold, a few calls a control message. One instance per
/// worker and life of a plane, on the worker's thread.
public protocol RouteOffload: AnyObject {
    /// Takes over what changed, before the client hears of it.
    /// - Returns: what a route that ends has carried since it was last asked.
    func apply(_ delta: RouteDelta) -> RouteUsage?

    /// What each route carried since it was last asked.
    func takeUsage() -> [RouteUsage]
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
        usageDueAt = SystemClock.now().monotonic
        for route in core.activeRoutes { _ = offload.apply(.install(route)) }
        defer {
            for usage in offload.takeUsage() { credit(usage) }
            for route in core.activeRoutes { _ = offload.apply(.remove(route.id)) }
            self.offload = nil
            usageDueAt = nil
        }
        return try plane.run(&self)
    }

    @usableFromInline
    mutating func apply(_ delta: RouteDelta) {
        guard let usage = offload?.apply(delta) else { return }
        credit(usage)
    }

    private mutating func credit(_ usage: RouteUsage) {
        core.credit(usage.id, usage.traffic)
        offloaded.add(usage.traffic)
    }

    /// Adds what was carried without the worker to the counters.
    /// - Returns: whether anything was.
    @usableFromInline
    mutating func collectUsage(at now: Instant) -> Bool {
        guard let offload else { return false }
        usageDueAt = now.advanced(byMilliseconds: Self.usageIntervalMilliseconds)
        let usages = offload.takeUsage()
        for usage in usages { credit(usage) }
        return !usages.isEmpty
    }
}
