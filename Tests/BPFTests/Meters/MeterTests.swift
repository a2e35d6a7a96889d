import CBPF
import CRelayABI
import Dispatch
import ReferenceRelay
import STUN
import Synchronization
import TestSeed
import Testing

@testable import DataPlaneXDP
@testable import RelayCore

@Suite("Rates in the program", .enabled(if: Kernel.isAvailable, "\(Kernel.reason)"))
struct MeterTests {
    /// Datagrams of one five-tuple, and the meters that they must pass, in the program's order.
    private struct Flow {
        let route: ReferenceRoute
        let isFromClient: Bool
        let keys: [MeterTable.Key]

        func frame(_ byteCount: Int) -> [UInt8] {
            let payload = [UInt8](repeating: 0x5A, count: byteCount)
            return isFromClient
                ? Frame(
                    from: route.route.client, to: route.route.server,
                    data: channelData(route.route.channel.rawValue, payload)
                ).bytes
                : Frame(from: route.route.peer, to: route.route.relay, data: payload).bytes
        }
    }

    /// Some routes under random limits that share users, with the flows through them.
    private struct Scene {
        var world: World
        var flows: [Flow] = []
        var reference = ReferenceMeters()

        init(_ generator: inout SeededGenerator) throws {
            world = try World()
            let users = (0..<2).map { Self.meter(100 + $0, &generator) }
            for number in 0..<4 {
                world.meters = RouteMeters(
                    allocation: number == 3 ? nil : Self.meter(number, &generator),
                    user: number == 0 ? nil : users[number % 2])
                reference.add(world.meters)
                let family: AddressFamily = number % 2 == 0 ? .ipv4 : .ipv6
                if number < 2 {
                    let route = try world.addRoute(family, .ipv4)
                    add(Flow(route: route, isFromClient: true, keys: Self.keys(route, .toPeer)))
                    add(Flow(route: route, isFromClient: false, keys: Self.keys(route, .toClient)))
                } else {
                    let pair = try world.addHairpin(family, .ipv4, relays: .ipv4)
                    for (one, other) in [(pair[0], pair[1]), (pair[1], pair[0])] {
                        let keys = Self.keys(one, .toPeer) + Self.keys(other, .toClient)
                        add(Flow(route: one, isFromClient: true, keys: keys))
                    }
                }
            }
        }

        private mutating func add(_ flow: Flow) { flows.append(flow) }

        private static func meter(_ id: Int, _ generator: inout SeededGenerator) -> RouteMeter {
            func rate(_ range: ClosedRange<UInt64>) -> UInt64 {
                Bool.random(using: &generator) ? UInt64.random(in: range, using: &generator) : 0
            }
            let limit = RateLimit(bitsPerSecond: rate(8...500_000), packetsPerSecond: rate(1...300))
            return RouteMeter(id: MeterID(rawValue: UInt64(id)), limit: limit)
        }

        private static func keys(_ route: ReferenceRoute, _ direction: RelayDirection) -> [MeterTable.Key] {
            let meters = [route.route.meters.allocation, route.route.meters.user].compactMap { $0 }
            return meters.filter { !$0.limit.isNone }.map { MeterTable.Key(id: $0.id, direction: direction) }
        }

        /// As if so much time had passed: only differences of times count.
        mutating func advance(_ nanoseconds: Int64) {
            for key in reference.meters.keys {
                reference.meters[key]?.bytes.until -= nanoseconds
                reference.meters[key]?.packets.until -= nanoseconds
                guard let meter = world.kernel.meter(key) else { continue }
                if meter.pointee.bytes.interval > 0 { meter.pointee.bytes.until &-= UInt64(nanoseconds) }
                if meter.pointee.packets.interval > 0 { meter.pointee.packets.until &-= UInt64(nanoseconds) }
            }
        }

        /// What the program's buckets and the reference's differ in.
        func differences(at now: Int64) -> [String] {
            reference.meters.compactMap { key, expected in
                guard let meter = world.kernel.meter(key)?.pointee else { return nil }
                let found = (Int64(bitPattern: meter.bytes.until), Int64(bitPattern: meter.packets.until))
                // A bucket of which nothing is used up is the same whenever that was so.
                func ahead(_ until: Int64, _ interval: UInt64) -> Int64 { interval == 0 ? 0 : max(until - now, 0) }
                return ahead(found.0, expected.bytes.interval) == ahead(expected.bytes.until, expected.bytes.interval)
                    && ahead(found.1, expected.packets.interval)
                        == ahead(expected.packets.until, expected.packets.interval)
                    ? nil : "\(key): \(found), not \(expected)"
            }
        }
    }

    @Test("Datagrams pass or are dropped as the limits' arithmetic says, to the datagram, and are counted alike")
    func arithmetic() throws {
        var generator = SeededGenerator()
        var passed = 0, dropped = 0
        for _ in 0..<8 {
            var scene = try Scene(&generator)
            for step in 0..<1000 {
                if step % 50 == 0 { scene.advance(Int64.random(in: 0...50_000_000, using: &generator)) }
                let flow = try #require(scene.flows.randomElement(using: &generator))
                let byteCount = Int.random(in: 0...1400, using: &generator)
                let (verdict, now) = try Self.runWithinATick(flow.frame(byteCount), scene.world.kernel)
                let expected = scene.reference.take(flow.keys, byteCount, at: now)
                try #require(
                    verdict == (expected ? .transmit : .drop), "\(generator), step \(step): \(flow) \(byteCount)")
                try #require(scene.differences(at: now) == [], "\(generator), step \(step)")
                if expected { passed += 1 } else { dropped += 1 }
            }
        }
        #expect(passed > 1000 && dropped > 500, "\(generator): \(passed) passed, \(dropped) dropped")
    }

    /// Runs a frame at a moment that is known: while it ran the clock did not tick. A run over a tick is undone.
    private static func runWithinATick(
        _ frame: [UInt8], _ kernel: Kernel
    ) throws -> (Kernel.Verdict?, now: Int64) {
        for _ in 0..<1000 {
            let kept = (0..<kernel.program.sizes.meterElements).prefix(64).map { kernel.program.meters[$0] }
            let dropped = kernel.packets(RELAY_DROP_RATE)
            let before = coarseNanoseconds()
            let outcome = try kernel.run(frame)
            if coarseNanoseconds() == before {
                if outcome.verdict == .drop { #expect(outcome.bytes == frame, "what is dropped was changed") }
                #expect(kernel.packets(RELAY_DROP_RATE) == dropped + (outcome.verdict == .drop ? 1 : 0))
                return (outcome.verdict, before)
            }
            for (index, meter) in kept.enumerated() { kernel.program.meters[index] = meter }
        }
        Issue.record("the clock ticked during each of a thousand runs")
        return (nil, 0)
    }

    @Test("What is dropped is in no route's traffic")
    func traffic() throws {
        var world = try World()
        world.meters = RouteMeters(
            allocation: RouteMeter(id: MeterID(rawValue: 1), limit: RateLimit(packetsPerSecond: 1)))
        let route = try world.addRoute(.ipv4, .ipv4)
        let frame = Frame(
            from: route.route.client, to: route.route.server,
            data: channelData(route.route.channel.rawValue, [UInt8](repeating: 1, count: 10))
        ).bytes
        let began = coarseNanoseconds()
        let passed = UInt64(try world.kernel.run(Array(repeating: frame, count: 200)).count { $0.verdict == .transmit })
        let seconds = UInt64((coarseNanoseconds() - began) / 1_000_000_000)
        #expect((64...65 + seconds).contains(passed))
        let carried = (0..<world.kernel.program.sizes.slots).map { world.kernel.program.entries[$0].traffic }.max()
        #expect(carried == passed << 40 | passed * 10)
    }

    @Test("Of many CPUs' datagrams through one meter as many pass as of one CPU's")
    func manyCPUs() throws {
        var world = try World()
        let user = RouteMeter(id: MeterID(rawValue: 9), limit: RateLimit(packetsPerSecond: 100))
        var frames: [[UInt8]] = []
        for number: UInt64 in 0..<2 {
            // Each allocation alone would let far more pass than the user may send.
            let own = RouteMeter(id: MeterID(rawValue: number), limit: RateLimit(bitsPerSecond: 1_000_000_000))
            world.meters = RouteMeters(allocation: own, user: user)
            let route = try world.addRoute(.ipv4, .ipv4)
            frames.append(
                Frame(
                    from: route.route.client, to: route.route.server,
                    data: channelData(route.route.channel.rawValue, [1, 2, 3])
                ).bytes)
        }
        let passed = Atomic<Int>(0)
        let began = coarseNanoseconds()
        nonisolated(unsafe) let kernel = world.kernel
        let sent = frames
        DispatchQueue.concurrentPerform(iterations: 2) { thread in
            for _ in 0..<100 {
                let outcomes = (try? kernel.run(Array(repeating: sent[thread], count: 100))) ?? []
                passed.add(outcomes.count { $0.verdict == .transmit }, ordering: .relaxed)
            }
        }
        let seconds = Double(coarseNanoseconds() - began) / 1e9
        // The burst of 64 datagrams, what the rate adds meanwhile, and one a CPU that was too late eight times.
        let most = 64 + Int(seconds * 100) + 1 + 2
        #expect((64...most).contains(passed.load(ordering: .relaxed)), "in \(seconds) s")
        // Nothing is left in the allocations' buckets of what the user's refused.
        for number: UInt64 in 0..<2 {
            let key = MeterTable.Key(id: MeterID(rawValue: number), direction: .toPeer)
            let meter = try #require(kernel.meter(key)).pointee
            let used = Int64(bitPattern: meter.bytes.until) - began
            #expect(used <= Int64(seconds * 1e9) + 3 * 8 * Int64(most))
        }
    }
}
