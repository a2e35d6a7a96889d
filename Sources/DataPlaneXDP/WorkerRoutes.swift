import RelayCore
import RelayWorker

/// One worker's routes in the kernel.
final class WorkerRoutes: RouteOffload {
    private struct Installed {
        var toPeer: RouteTable.Placed
        var toClient: RouteTable.Placed
    }

    private let session: XDPSession
    private var routes: [RouteID: Installed] = [:]

    init(_ session: XDPSession) { self.session = session }

    func apply(_ delta: RouteDelta) -> RouteUsage? {
        session.withTable { table in
            switch delta {
            case .install(let route):
                guard let placed = table.install(route) else { return nil }
                routes[route.id] = Installed(toPeer: placed.toPeer, toClient: placed.toClient)
                return nil
            case .renew(let id, let until):
                guard let installed = routes[id] else { return nil }
                table.renew(installed.toPeer, until: until)
                table.renew(installed.toClient, until: until)
                return nil
            case .remove(let id):
                guard var installed = routes.removeValue(forKey: id) else { return nil }
                table.remove(installed.toPeer)
                table.remove(installed.toClient)
                return Self.usage(of: id, &installed, in: table)
            }
        }
    }

    func takeUsage() -> [RouteUsage] {
        session.withTable { table in
            routes.keys.compactMap { id in
                guard var installed = routes[id] else { return nil }
                defer { routes[id] = installed }
                return Self.usage(of: id, &installed, in: table)
            }
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
