import PlaneTestKit
import ReferenceRelay
import RelayWorker
import STUN
import Testing

@testable import DataPlaneXDP
@testable import RelayCore

@Suite("The routes of all workers", .enabled(if: Kernel.isAvailable, "\(Kernel.reason)"))
struct RouteTableTests {
    private static let count = 65_536

    /// Alive for ten minutes.
    private func route(_ number: Int) -> Route {
        var route = World.withFewPeers(World.numberedRoute(number))
        route.until = SystemClock.now().monotonic.advanced(bySeconds: 600)
        return route
    }

    private func frame(_ route: Route) -> [UInt8] {
        Frame(from: route.client, to: route.server, data: channelData(route.channel.rawValue, [1, 2])).bytes
    }

    @Test("65,536 routes are installed with next hops of the kernel, found and removed; the next one finds no room")
    func many() throws {
        let namespace = try RouteHost.namespace()
        try namespace.inside {
            let kernel = try Kernel(routes: Self.count)
            let host = try RouteHost(kernel.program)
            defer { host.finder.close() }
            var table = host.table
            // Frames leave by the next hop's interface if the program may redirect there.
            #expect(kernel.program.addDevice(host.interface.index) == 0)
            var placed: [(toPeer: RouteTable.Placed, toClient: RouteTable.Placed)] = []
            for number in 0..<Self.count {
                let installed = table.install(route(number))
                placed.append(try #require(installed, "route \(number) found no room"))
            }
            #expect(table.routeCount == Self.count && !table.hasRoom)
            #expect(table.install(route(Self.count)) == nil)
            let samples = stride(from: 0, to: Self.count, by: 61)
            for number in samples { #expect(try kernel.run(frame(route(number))).verdict == .redirect) }
            #expect(try kernel.run(frame(route(Self.count))).verdict == .pass)
            #expect(table.neighbours == [.init(address: ip("192.0.2.254"), interfaceIndex: host.interface.index)])

            for index in placed.indices {
                table.remove(placed[index].toPeer)
                table.remove(placed[index].toClient)
            }
            #expect(table.routeCount == 0 && table.neighbours.isEmpty)
            for number in samples { #expect(try kernel.run(frame(route(number))).verdict == .pass) }
            table.sweep(table.takeQuarantine())
            #expect(table.install(route(7)) != nil)
            #expect(try kernel.run(frame(route(7))).verdict == .redirect)
        }
    }

    @Test("Whoever follows changes stops looking once nobody needs the answers")
    func stopping() throws {
        let namespace = try RouteHost.namespace()
        try namespace.inside {
            let options = XDPOptions(serving: World.relay4, on: RouteHost.interface)
            let session = try XDPSession(options)
            try session.prepare()
            defer { session.detachIfUnused() }
            let offload = WorkerRoutes(session)
            for number in 0..<1000 { _ = offload.apply(.install(route(number))) }
            // 1,000 clients and 100 peers are ways to look up.
            var finder = try WayFinder(session.withTable { $0.finder.surroundings }, looksUp: true)
            defer { finder.close() }
            for most in [0, 7, 10_000] {
                var looks = 0
                session.followChange(of: nil, &finder) {
                    looks += 1
                    return looks > most
                }
                #expect(looks == min(most + 1, 1100))
                looks = 0
                session.refresh(finder) {
                    looks += 1
                    return looks > most
                }
                // The one router.
                #expect(looks == 1)
            }
            for number in 0..<1000 { _ = offload.apply(.remove(route(number).id)) }
        }
    }

    @Test("Of more routes than there is room for the rest waits, visibly, and moves up")
    func full() throws {
        let namespace = try RouteHost.namespace()
        try namespace.inside {
            var options = XDPOptions(serving: World.relay4, on: RouteHost.interface)
            options.routes = 16_384
            let session = try XDPSession(options)
            try session.prepare()
            defer { session.detachIfUnused() }
            let offload = WorkerRoutes(session)
            let excess = 1000
            for number in 0..<options.routes + excess { _ = offload.apply(.install(route(number))) }
            #expect(session.statistics.routes == options.routes)
            #expect(session.statistics.waitingRoutes == excess)
            #expect(session.statistics.refusedRoutes == UInt64(excess))
            #expect(offload.routeCount == options.routes + excess)
            // A doubt finds them as they are, and refuses nobody anew.
            #expect(offload.reconcile(with: (0..<options.routes + excess).map { route($0) }).isEmpty)
            #expect(session.statistics.waitingRoutes == excess)
            #expect(session.statistics.refusedRoutes == UInt64(excess))

            #expect(session.lapsedRouteCount == 0)
            let now = SystemClock.now().monotonic
            for number in 0..<3 { _ = offload.apply(.renew(route(number).id, until: now)) }
            #expect(session.lapsedRouteCount == 3)
            // Counting waits for nobody who changes routes.
            let counted = session.withTable { _ in session.program.lapsedEntryCount(at: .max) }
            #expect(counted == 2 * options.routes)
            for number in 0..<3 {
                _ = offload.apply(.renew(route(number).id, until: now.advanced(bySeconds: 600)))
            }
            #expect(session.lapsedRouteCount == 0)

            for number in 0..<excess { _ = offload.apply(.remove(route(number).id)) }
            #expect(session.statistics.routes == options.routes - excess)
            // A few hundred at a time move up.
            for _ in 0..<excess where session.statistics.waitingRoutes > 0 {
                session.recycle()
                _ = offload.takeUsage()
            }
            #expect(session.statistics.routes == options.routes && session.statistics.waitingRoutes == 0)
            for number in excess..<options.routes + excess { _ = offload.apply(.remove(route(number).id)) }
            #expect(session.statistics.routes == 0 && offload.routeCount == 0 && !offload.isInDoubt)
        }
    }
}
