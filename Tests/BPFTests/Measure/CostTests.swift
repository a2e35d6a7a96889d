import CRelayABI
import Glibc
import PlaneTestKit
import ReferenceRelay
import RelayWorker
import STUN
import Testing

@testable import DataPlaneXDP
@testable import RelayCore

/// What a packet and a route cost: `RELAYD_MEASURE=1 swift test -c release --filter CostTests`. Prints a table and judges
/// nothing, because a machine that is busy says nothing.
@Suite(
    "Costs", .enabled(if: getenv("RELAYD_MEASURE") != nil && Kernel.isAvailable, "only with RELAYD_MEASURE=1"),
    .serialized)
struct CostTests {
    /// RELAYD_MEASURE=packets or =routes leaves the other half out.
    private static func isWanted(_ what: String) -> Bool {
        let wanted = getenv("RELAYD_MEASURE").map { String(cString: $0) } ?? ""
        return wanted == what || wanted == "1"
    }

    @Test("A packet and a route")
    func all() throws {
        var report = CostReport()
        if Self.isWanted("packets") {
            try packets(into: &report)
            try coldPackets(into: &report)
        }
        if Self.isWanted("routes") { try routes(into: &report) }
        try report.show()
    }

    // MARK: Packets

    private func packets(into report: inout CostReport) throws {
        for (from, to) in [(0, 0), (0, 1), (1, 0), (1, 1)].map({ (families[$0.0], families[$0.1]) }) {
            let isIPv4 = from == .ipv4 && to == .ipv4
            let route = World.route(client: from, peer: to)
            let up = Frame(
                from: route.client, to: route.server, data: channelData(route.channel.rawValue, Self.payload))
            let down = Frame(from: route.peer, to: route.relay, data: Self.payload)
            report.add(
                "\(from) channel to \(to) udp", try cost(of: up, [(.toPeer(route), 0)]), "ns",
                limit: isIPv4 ? 75 : 100)
            report.add(
                "\(to) udp to \(from) channel", try cost(of: down, [(.toClient(route), 0)]), "ns",
                limit: isIPv4 ? 65 : 100)
            let other = Direction.End(source: World.server(to), destination: World.peer(to), channel: channel(0x4FFF))
            if isIPv4 { try meteredPackets(up, route, into: &report) }
            let inside = Direction.toPeer(route).leaving
            report.add(
                "\(from) channel to \(to) channel",
                try cost(
                    of: up,
                    [
                        (.toPeer(route), RELAY_HAIRPIN.rawValue),
                        (Direction(arriving: inside, leaving: other), RELAY_INSIDE.rawValue),
                    ]), "ns", limit: 120)
        }
    }

    /// Within limits on bytes and datagrams, so that every bucket is asked.
    private func meteredPackets(_ frame: Frame, _ route: Route, into report: inout CostReport) throws {
        let wide = RateLimit(bitsPerSecond: 1_000_000_000_000, packetsPerSecond: 1_000_000_000)
        let meters = RouteMeters(
            allocation: RouteMeter(id: MeterID(rawValue: 1), limit: wide),
            user: RouteMeter(id: MeterID(rawValue: 2), limit: wide))
        for (what, meters) in [
            ("an allocation's limits", RouteMeters(allocation: meters.allocation)), ("a user's besides", meters),
        ] {
            let measuring = try MeasuringKernel()
            try install([(.toPeer(route), 0)], heldTo: meters, in: measuring.kernel)
            report.add(
                "ipv4 channel to ipv4 udp, \(what)", try measuring.nanoseconds(frame.bytes, growth: -4), "ns")
        }
    }

    private var families: [AddressFamily] { [.ipv4, .ipv6] }
    private static let payload = [UInt8](repeating: 5, count: 160)

    private func cost(of frame: Frame, _ directions: [(Direction, flags: UInt32)]) throws -> Double {
        let measuring = try MeasuringKernel()
        try install(directions, in: measuring.kernel)
        let leaving = directions[directions.count - 1].0.leaving
        let growth =
            (leaving.source.family == .ipv4 ? 0 : 20) - (frame.source.family == .ipv4 ? 0 : 20)
            + (leaving.channel == nil ? 0 : 4) - (directions[0].0.arriving.channel == nil ? 0 : 4)
        return try measuring.nanoseconds(frame.bytes, growth: growth)
    }

    private func install(
        _ directions: [(Direction, flags: UInt32)], heldTo meters: RouteMeters = .none, in kernel: Kernel
    ) throws {
        let held = kernel.meters.hold(meters, .toPeer)
        let meter = try #require(held).index
        let hop = kernel.addNextHop(
            ReferenceHop(mtu: 1500, destination: [2, 0, 0, 0, 0, 1], source: [2, 0, 0, 0, 0, 2]))
        for (direction, flags) in directions {
            let entry = direction.entry(
                lease: .max, nextHop: hop, meter: meter, flags: UInt8(flags), seed: Kernel.seed)
            try #require(kernel.table.insert(entry) != nil)
        }
    }

    /// Packets of many clients in random order, each of which finds its entry in memory that no cache may hold.
    private func coldPackets(into report: inout CostReport) throws {
        let counts = [1, 64, 1024, 16_384, 65_536]
        var costs: [Double] = []
        for count in counts {
            // The table is as large as it must be for these routes, both directions in it.
            let measuring = try MeasuringKernel(routes: max(1024, count))
            try install(
                (0..<count).flatMap { number -> [(Direction, flags: UInt32)] in
                    let route = World.numberedRoute(number)
                    return [(.toPeer(route), 0), (.toClient(route), 0)]
                }, in: measuring.kernel)
            let first = World.numberedRoute(0)
            let frame = Frame(
                from: first.client, to: first.server, data: channelData(first.channel.rawValue, Self.payload))
            costs.append(
                try measuring.nanoseconds(frame.bytes, sources: count, growth: -4, repeats: 100_000, rounds: 10))
            report.add("ipv4 channel to ipv4 udp, random of \(count) routes", costs[costs.count - 1], "ns")
        }
        report.add("rate at 16384 routes over the rate at one", costs[0] / costs[3], "", limit: 0.5)
    }

    // MARK: Routes

    /// Installing as the plane does it, with the kernel's answers about next hops.
    private func routes(into report: inout CostReport) throws {
        let count = 60_000
        let namespace = try RouteHost.namespace()
        let routes = (0..<count).map { World.numberedRoute($0) }
        let link = try RouteHost.namespace(withNeighbours: (0..<count).map { World.numberedRoute($0).client.ip })
        for (name, routes, namespace) in [
            ("of one client and peer each", routes, namespace),
            ("of 100 peers", routes.map { World.withFewPeers($0) }, namespace),
            ("of clients that are neighbours", routes, link),
        ] {
            let costs = try namespace.inside { try self.cost(of: routes) }
            report.add("\(count) routes \(name), installed", costs.installing * Double(count) / 1e6, "ms", limit: 1000)
            report.add("a route \(name), installed", costs.installing / 1000, "µs", limit: 5)
            report.add("a route \(name), renewed", costs.renewing / 1000, "µs")
            report.add("a route \(name), its traffic collected", costs.collecting / 1000, "µs")
            report.add("a route \(name), removed", costs.removing / 1000, "µs", limit: 5)
        }
    }

    private struct RouteCosts {
        var installing = 0.0
        var renewing = 0.0
        var collecting = 0.0
        var removing = 0.0
    }

    /// Nanoseconds of this thread's CPU time a route, the kernel's share included.
    private func cost(of routes: [Route]) throws -> RouteCosts {
        let host = try RouteHost(XDPProgram(sizes: XDPProgram.Sizes(routes: 65_536)))
        defer { host.finder.close() }
        var table = host.table
        // As the monitor's thread does it when a session starts.
        table.finder.follow(KnownNeighbours.read(on: [host.interface.index]))
        var placed: [(toPeer: RouteTable.Placed, toClient: RouteTable.Placed)] = []
        placed.reserveCapacity(routes.count)
        var costs = RouteCosts()
        costs.installing = Self.cpuNanoseconds(for: routes.count) {
            for route in routes { if let done = table.install(route) { placed.append(done) } }
        }
        try #require(placed.count == routes.count)
        let until = SystemClock.now().monotonic.advanced(bySeconds: 600)
        costs.renewing = Self.cpuNanoseconds(for: routes.count) {
            for one in placed {
                table.renew(one.toPeer, until: until)
                table.renew(one.toClient, until: until)
            }
        }
        costs.collecting = Self.cpuNanoseconds(for: routes.count) {
            for index in placed.indices {
                _ = table.traffic(of: &placed[index].toPeer)
                _ = table.traffic(of: &placed[index].toClient)
            }
        }
        costs.removing = Self.cpuNanoseconds(for: routes.count) {
            for one in placed {
                table.remove(one.toPeer)
                table.remove(one.toClient)
            }
        }
        try #require(table.routeCount == 0)
        return costs
    }

    private static func cpuNanoseconds(for count: Int, _ body: () -> Void) -> Double {
        func now() -> Double {
            var time = timespec()
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
            return Double(time.tv_sec) * 1e9 + Double(time.tv_nsec)
        }
        let began = now()
        body()
        return (now() - began) / Double(count)
    }
}

extension World {
    static func route(client: AddressFamily, peer: AddressFamily) -> Route {
        Route(
            id: RouteID(index: 0), client: Self.peer(client, port: 999), server: server(client),
            channel: BPFTests.channel(0x4000),
            relay: TransportAddress(peer == .ipv4 ? relay4 : relay6, port: 50_000), peer: Self.peer(peer, port: 50_001),
            until: Instant(nanoseconds: 0))
    }

    /// One of 131,072 routes with clients from 10.0.0.0 on, each with a peer of its own.
    static func numberedRoute(_ number: Int) -> Route {
        Route(
            id: RouteID(index: UInt32(number)),
            client: TransportAddress(IPAddress(v4: 0x0A00_0000 + UInt32(number)), port: 9),
            server: server4, channel: BPFTests.channel(0x4000),
            relay: TransportAddress(relay4, port: 49152 + UInt16(number % 16_384)),
            peer: TransportAddress(IPAddress(v4: 0xC633_0000 + UInt32(number)), port: 7000),
            until: Instant(nanoseconds: 0))
    }

    /// The same with a peer that many share.
    static func withFewPeers(_ route: Route) -> Route {
        Route(
            id: route.id, client: route.client, server: route.server, channel: route.channel, relay: route.relay,
            peer: TransportAddress(
                IPAddress(v4: 0xC633_0000 + route.id.index % 100), port: UInt16(1 + route.id.index / 100)),
            until: route.until)
    }
}
