import CRelayABI
import Dispatch
import ReferenceRelay
import STUN
import Synchronization
import TestSeed
import Testing

@testable import DataPlaneXDP
@testable import RelayCore

@Suite("Random packets", .enabled(if: Kernel.isAvailable, "\(Kernel.reason)"))
struct RandomTests {
    /// Limits that no packet of these tests reaches: of the allocation alone, of the user alone, of both, and none.
    static let wideMeters: [RouteMeters] = {
        let wide = RateLimit(bitsPerSecond: 1_000_000_000_000, packetsPerSecond: 1_000_000_000)
        let (allocation, user) = (
            RouteMeter(id: MeterID(rawValue: 1), limit: wide), RouteMeter(id: MeterID(rawValue: 2), limit: wide)
        )
        return [
            .none, RouteMeters(allocation: allocation), RouteMeters(user: user),
            RouteMeters(allocation: RouteMeter(id: MeterID(rawValue: 3), limit: wide), user: user),
        ]
    }()

    /// Every kind of route: all families, hairpins, elsewhere, short MTU, over; metered and not.
    static func crowdedWorld() throws -> World {
        var world = try World()
        for client in AddressFamily.allCases {
            for peer in AddressFamily.allCases {
                for number: UInt16 in 0..<4 {
                    world.meters = wideMeters[Int(number)]
                    try world.addRoute(client, peer, channel: 0x4000 + number, isElsewhere: number == 1)
                }
                try world.addRoute(client, peer, channel: 0x4FFF, mtu: 200)
                try world.addRoute(client, peer, isOver: true)
                for relays in AddressFamily.allCases {
                    world.meters = wideMeters[relays == .ipv4 ? 3 : 0]
                    try world.addHairpin(client, peer, relays: relays)
                }
            }
        }
        return world
    }

    @Test("A million packets leave as the reference says, to the byte")
    func million() throws {
        let generator = SeededGenerator()
        let threads = 2
        let rounds = 2000, batch = 256
        let failures = Mutex<[String]>([])
        let left = Atomic<Int>(0)
        DispatchQueue.concurrentPerform(iterations: threads) { thread in
            do {
                let world = try Self.crowdedWorld()
                var maker = FrameMaker(world.reference, seed: generator.seed &+ UInt64(thread))
                for _ in 0..<rounds {
                    let found = try world.differences(maker.frames(batch))
                    guard found.isEmpty else {
                        failures.withLock { $0 += found.prefix(2) }
                        return
                    }
                }
                let paths = (0..<RELAY_PATHS.rawValue).map { world.kernel.program.count(of: $0).packets }
                left.add(Int(paths.reduce(0, +)), ordering: .relaxed)
                #expect(world.kernel.packets(RELAY_DROP_RATE) == 0)
                let unused = (1...6).filter { world.kernel.program.meters[$0].packets.until == 0 }
                #expect(unused == [], "\(generator): meters that nothing passed")
                #expect(paths.count { $0 > 1000 } == 12, "\(generator): some paths were hardly taken: \(paths)")
            } catch {
                failures.withLock { $0.append("\(error)") }
            }
        }
        #expect(failures.withLock { $0 } == [], "\(generator)")
        #expect(threads * rounds * batch >= 1_000_000)
        #expect(left.load(ordering: .relaxed) > 400_000, "\(generator)")
    }

    @Test("The program decides as RelayCore.classify does, for the same packets")
    func classify() throws {
        let generator = SeededGenerator()
        let world = try Self.crowdedWorld()
        var model = CoreModel(world.reference)
        var maker = FrameMaker(world.reference, seed: generator.seed)
        var forwarded = 0
        for _ in 0..<100 {
            let frames = maker.frames(200).filter { $0.timeToLive > 1 }
            for (frame, outcome) in zip(frames, try world.kernel.run(frames.map(\.bytes))) {
                guard outcome.verdict != .pass else { continue }
                let sent = model.relay(frame)
                let left = try #require(Datagram(outcome.bytes), "\(generator)")
                #expect(sent == left, "\(generator): \(frame)")
                forwarded += 1
            }
        }
        #expect(forwarded > 5000, "\(generator)")
    }
}
