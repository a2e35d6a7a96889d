import CBPF
import CRelayABI
import Glibc
import ReferenceRelay
import STUN
import Testing

@testable import DataPlaneXDP
@testable import RelayCore

/// What a packet and a route cost. Prints; judges nothing, because a machine that is busy says nothing.
@Suite(
    "Costs", .enabled(if: getenv("RELAYD_MEASURE") != nil && Kernel.isAvailable, "only with RELAYD_MEASURE=1"),
    .serialized)
struct CostTests {
    /// A run changes its packet, so the routes lead in a circle: what leaves by the first arrives at the second and
    /// leaves as what arrived at the first. The time is that of the two, halved.
    private func circle(
        _ clients: AddressFamily, _ peers: AddressFamily
    ) -> [(Direction, flags: UInt32)] {
        let relayed = TransportAddress(World.server(peers).ip, port: 50_000)
        let peer = World.peer(peers, port: 50_001)
        let client = World.peer(clients, port: 999)
        let outside = Direction.End(source: client, destination: World.server(clients), channel: channel(0x4000))
        let inside = Direction.End(source: relayed, destination: peer, channel: nil)
        return [(Direction(arriving: outside, leaving: inside), 0), (Direction(arriving: inside, leaving: outside), 0)]
    }

    /// The hairpin of one entry over another, which leaves as what arrived.
    private func hairpin(_ family: AddressFamily) -> [(Direction, flags: UInt32)] {
        let made = circle(family, family)
        return [(made[0].0, RELAY_HAIRPIN.rawValue), (made[1].0, RELAY_INSIDE.rawValue)]
    }

    private func nanoseconds(_ routes: [(Direction, flags: UInt32)]) throws -> UInt32 {
        let kernel = try Kernel()
        let hop = kernel.addNextHop(
            ReferenceHop(mtu: 1500, destination: [2, 0, 0, 0, 0, 1], source: [2, 0, 0, 0, 0, 2]))
        for (direction, flags) in routes {
            let slot = kernel.table.insert(
                direction.entry(lease: .max, nextHop: hop, flags: UInt8(flags), seed: Kernel.seed))
            try #require(slot != nil)
        }
        var frame = Frame(
            from: routes[0].0.arriving.source, to: routes[0].0.arriving.destination,
            data: channelData(0x4000, [UInt8](repeating: 5, count: 160)))
        frame.timeToLive = 255
        var best = UInt32.max
        let bytes = frame.bytes
        try bytes.withUnsafeBytes { packet in
            // Each call makes the kernel wait for a grace period.
            for _ in 0..<60 {
                var run = cbpf_run()
                run.packet = packet.baseAddress
                run.packet_byte_count = UInt32(bytes.count)
                run.repeat = 240
                try #require(cbpf_test(kernel.program.program, &run) == 0)
                try #require(run.verdict == Kernel.Verdict.transmit.rawValue)
                best = min(best, run.duration)
            }
        }
        return best
    }

    @Test("A packet, by path: the least of many runs, with what the loop costs")
    func packets() throws {
        for clients in AddressFamily.allCases {
            for peers in AddressFamily.allCases {
                print("cost: \(clients) channel <-> \(peers) udp: \(try nanoseconds(circle(clients, peers))) ns")
            }
            print("cost: \(clients) hairpin: \(try nanoseconds(hairpin(clients))) ns")
        }
    }

    @Test("A route, in and out")
    func routes() throws {
        let kernel = try Kernel(routes: 65_536)
        let hop = kernel.addNextHop(
            ReferenceHop(mtu: 1500, destination: [2, 0, 0, 0, 0, 3], source: [2, 0, 0, 0, 0, 4]))
        let count = 60_000
        func route(_ number: Int) -> Route {
            Route(
                id: RouteID(index: UInt32(number)),
                client: TransportAddress(IPAddress(v4: 0x0A00_0000 + UInt32(number)), port: 9), server: World.server4,
                channel: channel(0x4000), relay: TransportAddress(World.relay4, port: 49152 + UInt16(number % 16384)),
                peer: TransportAddress(ip("203.0.113.9"), port: UInt16(1 + number / 16384)),
                until: Instant(nanoseconds: 0))
        }
        let routes = (0..<count).map(route)
        let clock = ContinuousClock()
        var slots: [SlotIndex] = []
        slots.reserveCapacity(2 * count)
        let installing = clock.measure {
            for route in routes {
                for direction in [Direction.toPeer(route), .toClient(route)] {
                    let entry = direction.entry(lease: .max, nextHop: hop, flags: 0, seed: Kernel.seed)
                    if let slot = kernel.table.insert(entry) { slots.append(slot) }
                }
            }
        }
        #expect(slots.count == 2 * count)
        print("cost: \(count) routes installed in \(installing), \(installing / count) each")
        try cold(kernel, routes, of: [1, 64, 1024, 16_384, 60_000])
        let removing = clock.measure { for slot in slots { kernel.table.remove(slot) } }
        print("cost: removed in \(removing), \(removing / count) each")
    }

    /// Packets of many routes in turn, one system call each: what cold entries add shows as a difference.
    private func cold(_ kernel: Kernel, _ routes: [Route], of counts: [Int]) throws {
        var generator = SeededGenerator()
        for count in counts {
            let frames = (0..<20_000).map { _ -> [UInt8] in
                let route = routes[Int.random(in: 0..<count, using: &generator)]
                return Frame(from: route.client, to: route.server, data: channelData(0x4000, [1, 2, 3, 4])).bytes
            }
            var total: UInt64 = 0, least = UInt64.max
            let room = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 16)
            defer { room.deallocate() }
            for _ in 0..<3 {
                total = 0
                for frame in frames {
                    frame.withUnsafeBytes { packet in
                        var run = cbpf_run()
                        run.packet = packet.baseAddress
                        run.packet_byte_count = UInt32(frame.count)
                        run.repeat = 1
                        _ = cbpf_test(kernel.program.program, &run)
                        total += UInt64(run.duration)
                    }
                }
                least = min(least, total)
            }
            print("cost: a packet to one of \(count) routes: \(least / UInt64(frames.count)) ns (one call each)")
        }
    }
}
