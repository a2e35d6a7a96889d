import RelayCore

@testable import RelayWorker

/// A plane that forwards by itself, as far as the worker can tell: it keeps routes, and carries what the script says.
final class SimulatedOffload: RouteOffload {
    private let world: World
    private(set) var routes: [RouteID: Route] = [:]
    private(set) var reconciliations = 0
    private var carried: [RouteID: AllocationTraffic] = [:]
    var isInDoubt = false
    var failure: PlaneError?

    init(_ world: World) { self.world = world }

    /// Carries packets of ten bytes towards peers on every route.
    func carry(packets: UInt64) {
        for id in routes.keys {
            var traffic = AllocationTraffic()
            traffic.packetsToPeers = packets
            traffic.bytesToPeers = 10 * packets
            carried[id, default: AllocationTraffic()].add(traffic)
        }
    }

    /// Loses a route, as a table in somebody else's memory may.
    func lose(_ id: RouteID) { routes[id] = nil }

    func apply(_ delta: RouteDelta) -> RouteUsage? {
        switch delta {
        case .install(let route):
            if routes.updateValue(route, forKey: route.id) != nil { world.violate("\(route.id) installed twice") }
        case .renew(let id, let until):
            if routes[id] == nil { world.violate("\(id) renewed, never installed") }
            routes[id]?.until = until
        case .meter(let id, let meters):
            if routes[id] == nil { world.violate("\(id) metered, never installed") }
            routes[id]?.meters = meters
        case .remove(let id):
            if routes.removeValue(forKey: id) == nil { world.violate("\(id) removed, never installed") }
            return carried.removeValue(forKey: id).map { RouteUsage(id: id, traffic: $0) }
        }
        return nil
    }

    func takeUsage() -> [RouteUsage] {
        defer { carried = [:] }
        return carried.map { RouteUsage(id: $0, traffic: $1) }
    }

    var routeCount: Int { routes.count }

    func reconcile(with wanted: [Route]) -> [RouteUsage] {
        reconciliations += 1
        isInDoubt = false
        routes = Dictionary(wanted.map { ($0.id, $0) }) { $1 }
        return []
    }
}

/// A plane with the offload above it.
struct OffloadingPlane: DataPlane {
    let below: SimulatedPlane
    nonisolated(unsafe) let offload: SimulatedOffload

    var name: String { "offloading" }

    func run(_ worker: inout Worker) throws(PlaneError) -> Departure {
        try worker.run(below, offloadingTo: offload)
    }
}
