import RelayCore
import RelayWorker

/// One worker's routes in the kernel.
final class WorkerRoutes: RouteOffload {
    private struct Installed {
        var toPeer: RouteTable.Placed
        var toClient: RouteTable.Placed
    }

    /// How many routes that found no room are tried again in one go.
    private static let retriesAtOnce = 256

    private let session: XDPSession
    private var routes: [RouteID: Installed] = [:]
    /// Routes without room: the slow path has them.
    private var waiting: [RouteID: Route] = [:]
    private(set) var isInDoubt = false

    init(_ session: XDPSession) { self.session = session }

    var routeCount: Int { routes.count + waiting.count }

    var failure: PlaneError? { session.failure }

    func apply(_ delta: RouteDelta) -> RouteUsage? {
        session.withTable { table in
            switch delta {
            case .install(let route): install(route, in: &table)
            case .renew(let id, let until): renew(id, until, in: &table)
            case .remove(let id): return remove(id, from: &table)
            case .meter(let id, let meters): return meter(id, meters, in: &table)
            }
            return nil
        }
    }

    private func install(_ route: Route, in table: inout RouteTable) {
        guard routes[route.id] == nil, waiting[route.id] == nil else {
            isInDoubt = true
            return
        }
        guard !place(route, in: &table) else { return }
        wait(route, in: &table)
        table.refusedCount += 1
    }

    private func wait(_ route: Route, in table: inout RouteTable) {
        waiting[route.id] = route
        table.waitingCount += 1
    }

    private func place(_ route: Route, in table: inout RouteTable) -> Bool {
        guard let placed = table.install(route) else { return false }
        routes[route.id] = Installed(toPeer: placed.toPeer, toClient: placed.toClient)
        return true
    }

    private func renew(_ id: RouteID, _ until: Instant, in table: inout RouteTable) {
        if let installed = routes[id] {
            table.renew(installed.toPeer, until: until)
            table.renew(installed.toClient, until: until)
        } else if waiting[id] != nil {
            waiting[id]?.until = until
        } else {
            isInDoubt = true
        }
    }

    /// Where there is no room for the meters, the route leaves the kernel: the worker installs it again, and it waits.
    private func meter(_ id: RouteID, _ meters: RouteMeters, in table: inout RouteTable) -> RouteUsage? {
        guard var installed = routes[id] else {
            if waiting[id] != nil { waiting[id]?.meters = meters } else { isInDoubt = true }
            return nil
        }
        let isMetered = table.meter(&installed.toPeer, &installed.toClient, meters)
        routes[id] = installed
        guard !isMetered else { return nil }
        isInDoubt = true
        return remove(id, from: &table)
    }

    private func remove(_ id: RouteID, from table: inout RouteTable) -> RouteUsage? {
        guard var installed = routes.removeValue(forKey: id) else {
            if waiting.removeValue(forKey: id) != nil { table.waitingCount -= 1 } else { isInDoubt = true }
            return nil
        }
        table.remove(installed.toPeer)
        table.remove(installed.toClient)
        return Self.usage(of: id, &installed, in: table)
    }

    func takeUsage() -> [RouteUsage] {
        session.withTable { table in
            var usages: [RouteUsage] = []
            for index in routes.indices {
                let id = routes[index].key
                if let usage = Self.usage(of: id, &routes.values[index], in: table) { usages.append(usage) }
                let installed = routes.values[index]
                if !table.isLive(installed.toPeer) || !table.isLive(installed.toClient) { isInDoubt = true }
            }
            retry(in: &table)
            return usages
        }
    }

    /// Room may have appeared since.
    private func retry(in table: inout RouteTable) {
        guard !waiting.isEmpty, table.hasRoom else { return }
        for (id, route) in waiting.prefix(Self.retriesAtOnce) where place(route, in: &table) {
            waiting[id] = nil
            table.waitingCount -= 1
        }
    }

    func reconcile(with wanted: [Route]) -> [RouteUsage] {
        session.withTable { table in
            let wanted = Dictionary(wanted.map { ($0.id, $0) }) { $1 }
            var ended: [RouteUsage] = []
            for (id, installed) in routes {
                if let route = wanted[id], table.holds(route, installed.toPeer, installed.toClient) {
                    renew(id, route.until, in: &table)
                    if let usage = meter(id, route.meters, in: &table) { ended.append(usage) }
                } else if let usage = remove(id, from: &table) {
                    ended.append(usage)
                }
            }
            table.waitingCount -= waiting.count
            let refused = waiting
            waiting = [:]
            for route in wanted.values where routes[route.id] == nil {
                // A route that waited already was refused once, and is not again by every doubt.
                if refused[route.id] == nil {
                    install(route, in: &table)
                } else if !place(route, in: &table) {
                    wait(route, in: &table)
                }
            }
            isInDoubt = false
            return ended
        }
    }

    private static func usage(of id: RouteID, _ installed: inout Installed, in table: RouteTable) -> RouteUsage? {
        let up = table.traffic(of: &installed.toPeer), down = table.traffic(of: &installed.toClient)
        guard up.packets > 0 || down.packets > 0 else { return nil }
        var traffic = AllocationTraffic()
        traffic.packetsToPeers = up.packets
        traffic.bytesToPeers = up.bytes
        traffic.packetsToClient = down.packets
        traffic.bytesToClient = down.bytes
        return RouteUsage(id: id, traffic: traffic)
    }
}
