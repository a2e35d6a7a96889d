import CRelayABI
import Glibc
import PlaneTestKit
import ReferenceRelay
import RelayWorker
import STUN
import Testing

@testable import DataPlaneXDP
@testable import RelayCore

/// A relay's host and one for everybody else, and a wire between them. The program is attached to the relay's end.
private final class Wire {
    static let server = "192.0.2.1", client = "192.0.2.7", other = "192.0.2.8"
    let relay: TestNamespace
    let ends: TestNamespace

    init() throws {
        (relay, ends) = (try TestNamespace(), try TestNamespace())
        try relay.command(
            "link", "add", "x0", "address", "02:00:00:00:00:01", "type", "veth", "peer", "name", "x1", "address",
            "02:00:00:00:00:02", "netns", ends.name)
        try relay.command("address", "add", "\(Self.server)/24", "dev", "x0")
        for address in [Self.client, Self.other] {
            try ends.command("address", "add", "\(address)/24", "dev", "x1")
            try relay.command("neigh", "add", address, "lladdr", "02:00:00:00:00:02", "dev", "x0")
        }
        try ends.command("neigh", "add", Self.server, "lladdr", "02:00:00:00:00:01", "dev", "x1")
        try relay.command("link", "set", "x0", "up")
        try ends.command("link", "set", "x1", "up")
        try ends.switchOffChecksums(of: "x1")
        try ends.switchOnReceiveOffload(of: "x1")
    }

    func session() throws -> XDPSession {
        try relay.inside {
            var options = XDPOptions(serving: ip(Self.server), on: "x0")
            options.routes = 64
            let session = try XDPSession(options)
            try session.prepare()
            return session
        }
    }
}

@Suite(
    "Rates on the wire",
    .enabled(if: Kernel.isAvailable && TestNamespace.isAllowed, "\(Kernel.reason), and making network namespaces root"))
struct MeteredTrafficTests {
    private static let payload = [UInt8](repeating: 0x42, count: 1000)

    /// One sender: a socket, what it sends and to whom.
    private struct Stream {
        let from: TestSocket
        let to: TestSocket
        let datagram: [UInt8]
        let destination: TransportAddress
    }

    /// What became of a stream: datagrams.
    private struct Outcome {
        var sent = 0
        var arrived = 0
        /// Those that the reference would have let through at the moments when they were sent.
        var wanted = 0
    }

    /// Sends evenly, `rate` datagrams a second each, as far as this machine's scheduler lets it.
    private static func run(
        _ streams: [Stream], rate: Int, milliseconds: Int, under limit: RateLimit
    ) -> [Outcome] {
        var outcomes = streams.map { _ in Outcome() }
        var meters = streams.map { _ in ReferenceMeter(limit) }
        let began = coarseNanoseconds()
        var elapsed: Int64 = 0
        while elapsed < milliseconds * 1_000_000 {
            let due = Int(elapsed) * rate / 1_000_000_000
            for (index, stream) in streams.enumerated() {
                // What was missed while others ran is not made up for all at once: the wire's ring is short.
                for _ in 0..<min(due - outcomes[index].sent, 64) where outcomes[index].sent < due {
                    let now = coarseNanoseconds()
                    guard stream.from.send(stream.datagram, to: stream.destination) > 0 else { continue }
                    outcomes[index].sent += 1
                    guard let bytes = meters[index].bytes.after(payload.count, at: now),
                        let packets = meters[index].packets.after(1, at: now)
                    else { continue }
                    meters[index].bytes = bytes
                    meters[index].packets = packets
                    outcomes[index].wanted += 1
                }
            }
            for (index, stream) in streams.enumerated() { outcomes[index].arrived += stream.to.receiveAll().count }
            usleep(1000)
            elapsed = coarseNanoseconds() - began
        }
        usleep(50_000)
        for (index, stream) in streams.enumerated() { outcomes[index].arrived += stream.to.receiveAll().count }
        return outcomes
    }

    private static func route(
        _ number: UInt32, client: TransportAddress, relay: UInt16, peer: TransportAddress, _ meters: RouteMeters
    ) -> Route {
        Route(
            id: RouteID(index: number), client: client, server: TransportAddress(Wire.server, 3478),
            channel: channel(0x4000), relay: TransportAddress(Wire.server, relay), peer: peer,
            until: SystemClock.now().monotonic.advanced(bySeconds: 600), meters: meters)
    }

    private static func meter(_ id: UInt64, _ limit: RateLimit) -> RouteMeter {
        RouteMeter(id: MeterID(rawValue: id), limit: limit)
    }

    private static func frames(_ session: XDPSession, _ verdict: String, _ reason: String = "") -> Int {
        let counts = session.statistics.frames.filter {
            $0.verdict == verdict && (reason.isEmpty || $0.reason == reason)
        }
        return Int(counts.reduce(0) { $0 + $1.packets })
    }

    /// Few per cent: the reference's clock is read a moment before the program's.
    private static func expect(
        _ outcomes: [Outcome], _ location: SourceLocation = #_sourceLocation
    ) {
        for outcome in outcomes {
            let error = abs(outcome.arrived - outcome.wanted)
            #expect(error <= max(10, outcome.wanted * 3 / 100), "\(outcome)", sourceLocation: location)
        }
    }

    @Test("A client at three times its limit gets the limit in both directions, before and after the limit changes")
    func channels() throws {
        let wire = try Wire()
        let session = try wire.session()
        defer { session.detachIfUnused() }
        let offload = WorkerRoutes(session)
        let (client, peer) = try wire.ends.inside { (try TestSocket(Wire.client), try TestSocket(Wire.other)) }
        let slow = RateLimit(bitsPerSecond: 8_000_000)
        let route = Self.route(
            1, client: client.address, relay: 50_000, peer: peer.address, RouteMeters(allocation: Self.meter(1, slow)))
        #expect(offload.apply(.install(route)) == nil)
        let streams = [
            Stream(
                from: client, to: peer, datagram: channelData(0x4000, Self.payload, padding: []),
                destination: route.server),
            Stream(from: peer, to: client, datagram: Self.payload, destination: route.relay),
        ]
        let limited = Self.run(streams, rate: 3000, milliseconds: 1500, under: slow)
        Self.expect(limited)
        for outcome in limited { #expect(outcome.arrived * 2 < outcome.sent, "\(outcome)") }
        let carried = limited.reduce(0) { $0 + $1.arrived }, sent = limited.reduce(0) { $0 + $1.sent }
        #expect(Self.frames(session, "forward") == carried)
        #expect(Self.frames(session, "drop", "rate") == sent - carried)
        let usage = try #require(offload.takeUsage().first)
        #expect(usage.traffic.packetsToPeers == UInt64(limited[0].arrived))
        #expect(usage.traffic.bytesToClient == UInt64(limited[1].arrived * Self.payload.count))

        let fast = RateLimit(bitsPerSecond: 1_000_000_000, packetsPerSecond: 1500)
        _ = offload.apply(
            .meter(route.id, RouteMeters(allocation: Self.meter(1, slow), user: Self.meter(2, fast))))
        _ = offload.apply(.meter(route.id, RouteMeters(user: Self.meter(2, fast))))
        Self.expect(Self.run(streams, rate: 3000, milliseconds: 1000, under: fast))

        _ = offload.apply(.meter(route.id, .none))
        let free = Self.run(streams, rate: 3000, milliseconds: 300, under: .none)
        for outcome in free { #expect(outcome.arrived == outcome.sent, "\(outcome)") }
        _ = offload.apply(.remove(route.id))
        #expect(!offload.isInDoubt)
    }

    @Test("A hairpin is held to the limits of both routes")
    func hairpin() throws {
        let wire = try Wire()
        let session = try wire.session()
        defer { session.detachIfUnused() }
        let offload = WorkerRoutes(session)
        let (one, two) = try wire.ends.inside { (try TestSocket(Wire.client), try TestSocket(Wire.other)) }
        let slow = RateLimit(packetsPerSecond: 500), fast = RateLimit(bitsPerSecond: 12_000_000)
        let relays = (TransportAddress(Wire.server, 50_000), TransportAddress(Wire.server, 50_001))
        let routes = [
            Self.route(
                1, client: one.address, relay: relays.0.port, peer: relays.1,
                RouteMeters(allocation: Self.meter(1, slow))),
            Self.route(
                2, client: two.address, relay: relays.1.port, peer: relays.0,
                RouteMeters(allocation: Self.meter(2, fast))),
        ]
        for route in routes { _ = offload.apply(.install(route)) }
        let datagram = channelData(0x4000, Self.payload, padding: [])
        let streams = [
            Stream(from: one, to: two, datagram: datagram, destination: routes[0].server),
            Stream(from: two, to: one, datagram: datagram, destination: routes[1].server),
        ]
        // The first route lets less through in either direction.
        Self.expect(Self.run(streams, rate: 2000, milliseconds: 1000, under: slow))
        // Then the second one does.
        for route in routes {
            let meters = RouteMeters(allocation: Self.meter(UInt64(route.id.index), route.id.index == 1 ? .none : fast))
            _ = offload.apply(.meter(route.id, meters))
        }
        Self.expect(Self.run(streams, rate: 3000, milliseconds: 1000, under: fast))
        #expect(Self.frames(session, "drop", "rate") > 1000)
        #expect(Self.frames(session, "forward", "ipv4_channel_to_ipv4_channel") > 1000)
    }

    @Test("A route for whose meters there is no room waits, on the slow path, and moves up")
    func waiting() throws {
        let wire = try Wire()
        let session = try wire.relay.inside {
            let options = XDPOptions(serving: ip(Wire.server), on: "x0")
            let session = try XDPSession(options, XDPProgram.Sizes(routes: 64, meters: 1))
            try session.prepare()
            return session
        }
        defer { session.detachIfUnused() }
        let offload = WorkerRoutes(session)
        let limit = RateLimit(bitsPerSecond: 1_000_000)
        var routes = (0..<2 as Range<UInt32>).map { number in
            Self.route(
                number, client: TransportAddress(Wire.client, 1000 + UInt16(number)), relay: 50_000,
                peer: TransportAddress(Wire.other, 2000), RouteMeters(allocation: Self.meter(UInt64(number), limit)))
        }
        routes[1] = Self.route(
            1, client: routes[1].client, relay: 50_001, peer: routes[1].peer, routes[1].meters)
        for route in routes { _ = offload.apply(.install(route)) }
        #expect(session.statistics.routes == 1 && session.statistics.waitingRoutes == 1)
        // Without its meter it finds room; with it, it must leave again.
        routes[1].meters = .none
        _ = offload.apply(.meter(routes[1].id, .none))
        _ = offload.takeUsage()
        #expect(session.statistics.routes == 2 && session.statistics.waitingRoutes == 0 && !offload.isInDoubt)
        routes[1].meters = RouteMeters(allocation: Self.meter(1, limit))
        _ = offload.apply(.meter(routes[1].id, routes[1].meters))
        #expect(session.statistics.routes == 1 && offload.isInDoubt)
        _ = offload.reconcile(with: routes)
        #expect(session.statistics.routes == 1 && session.statistics.waitingRoutes == 1 && !offload.isInDoubt)
        _ = offload.apply(.remove(routes[0].id))
        for _ in 0..<10 where session.statistics.waitingRoutes > 0 {
            session.recycle()
            _ = offload.takeUsage()
        }
        #expect(session.statistics.routes == 1 && session.statistics.waitingRoutes == 0)
    }
}
