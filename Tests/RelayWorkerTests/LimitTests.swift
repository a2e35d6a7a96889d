import RelayCore
import STUN
import TestSeed
import Testing

@testable import RelayWorker

/// A worker under more than it may or can carry.
@Suite struct LimitTests {
    /// A peer that notes how long each datagram was under way: the first eight bytes say when it was sent.
    private final class Stopwatch: Endpoint {
        let address: TransportAddress
        private let world: World
        /// When each was sent, and how long it took, in nanoseconds.
        private(set) var arrivals: [(sent: UInt64, latency: UInt64)] = []

        init(_ world: World, at address: TransportAddress) {
            self.world = world
            self.address = address
            world.add(self, at: address)
        }

        func receive(_ packet: Packet) {
            let sent = packet.bytes.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            arrivals.append((sent, world.now.nanoseconds - sent))
        }

        static func stamp(_ now: Instant, byteCount: Int = 160) -> [UInt8] {
            (0..<byteCount).map { $0 < 8 ? UInt8(truncatingIfNeeded: now.nanoseconds >> (56 - 8 * UInt64($0))) : 0 }
        }
    }

    @Test func whatIsTooFastIsGivenBackAndCounted() throws {
        var configuration = SimulatedRelay.defaults
        configuration.allocationRate = RateLimit(bitsPerSecond: 8_000_000)
        let rig = try Rig(configuration)
        let (client, other) = (rig.client(1), rig.client(2))
        let peer = Stopwatch(rig.world, at: .peer(1))
        let quiet = Stopwatch(rig.world, at: .peer(2))
        other.demand(.allocate())
        other.demand(.bind(0x4000, quiet.address))
        client.demand(.allocate())
        client.demand(.bind(0x4000, peer.address)) {
            for number in 0..<300 {
                client.send(Stopwatch.stamp(rig.world.now, byteCount: 1_000), channel: 0x4000)
                if number % 10 == 0 { other.send(Stopwatch.stamp(rig.world.now), channel: 0x4000) }
            }
            rig.world.after(milliseconds: 50) { rig.link.stop() }
        }
        try rig.run()
        #expect(peer.arrivals.count == 250)
        #expect(quiet.arrivals.count == 30)
        #expect(rig.link.snapshot.core[.overLimit] == 50)
        #expect(rig.relay.notes.ended.map(\.traffic.packetsToPeers).sorted() == [30, 250])
        rig.expectNoProblems()
    }

    /// Twice as many Binding requests of invented sources as the worker could answer, for a second.
    private struct Flood {
        let rig: Rig
        let peer: Stopwatch
        /// When it began.
        private(set) var began: UInt64 = 0

        /// - Parameter batchLimit: what the worker is told; with a huge one no batch is half full, and it never sees that it is behind.
        init(batchLimit: Int) throws {
            var conditions = Conditions()
            conditions.nanosecondsPerArrival = 2_000
            conditions.nanosecondsPerAnswer = 200_000
            conditions.declaredBatchLimit = batchLimit
            var configuration = SimulatedRelay.defaults
            configuration.unauthenticatedRate = 0
            rig = try Rig(conditions: conditions, configuration)
            peer = Stopwatch(rig.world, at: .peer(1))
        }

        mutating func run() throws {
            let (rig, world) = (rig, rig.world)
            let client = rig.client(1)
            let request = client.encode(.binding, client.newTransactionID())
            began = world.now.nanoseconds + 200_000_000
            for millisecond in 200..<1_200 {
                world.after(milliseconds: millisecond) {
                    for _ in 0..<10 {
                        let source = TransportAddress(
                            IPAddress(v4: UInt32(world.generator.pick(0x0B00_0000...0x0BFF_FFFF))), port: 999)
                        world.transmit(Packet(from: source, to: SimulatedRelay.listener, bytes: request))
                    }
                }
            }
            client.demand(.allocate())
            client.demand(.bind(0x4000, peer.address)) {
                for number in 0..<300 {
                    world.after(milliseconds: 5 * number) {
                        client.send(Stopwatch.stamp(world.now), channel: 0x4000)
                    }
                }
            }
            world.after(milliseconds: 15_000) { rig.link.stop() }
            try rig.run()
        }

        /// How long datagrams of the call were under way from a while after the flood's begin to its end, in milliseconds.
        var latencies: [Double] {
            peer.arrivals.filter { (began + 200_000_000..<began + 1_000_000_000).contains($0.sent) }
                .map { Double($0.latency) / 1e6 }.sorted()
        }
    }

    @Test func aFloodDoesNotSlowALivingCallDown() throws {
        var flood = try Flood(batchLimit: 64)
        try flood.run()
        #expect(flood.peer.arrivals.count == 300, "none of the call was lost")
        let latencies = flood.latencies
        #expect(latencies.count == 160)
        #expect(latencies[latencies.count * 8 / 10] < 5, "\(latencies)")
        #expect((latencies.last ?? 0) < 60, "\(latencies)")
        let counters = flood.rig.link.snapshot.core
        #expect(counters[.shed] > 7_000)
        #expect(counters[.binding, .success] + counters[.shed] == 10_000)
        #expect(counters.isShedding == 0)
        let notes = flood.rig.relay.notes.all
        #expect(notes.count { $0 == .sheddingBegan } == 1)
        let ends = notes.compactMap { note -> UInt64? in
            if case .sheddingEnded(let dropped, _) = note { dropped } else { nil }
        }
        #expect(ends == [counters[.shed]])
        flood.rig.expectNoProblems()
    }

    /// What the same flood does where nothing is left out: so the test above can fail.
    @Test func withoutSheddingTheSameFloodDoes() throws {
        var flood = try Flood(batchLimit: 1_000_000)
        try flood.run()
        #expect(flood.rig.link.snapshot.core[.shed] == 0)
        let latencies = flood.latencies
        #expect(latencies[latencies.count / 2] > 60, "\(latencies)")
        #expect(flood.peer.arrivals.count < 300, "the queue was full")
    }
}
