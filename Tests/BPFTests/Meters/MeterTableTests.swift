import CRelayABI
import PlaneTestKit
import RelayWorker
import STUN
import TestSeed
import Testing

@testable import DataPlaneXDP
@testable import RelayCore

@Suite("Meters of all routes", .enabled(if: Kernel.isAvailable, "\(Kernel.reason)"))
struct MeterTableTests {
    private static func meter(_ id: UInt64, _ bitsPerSecond: UInt64) -> RouteMeter {
        RouteMeter(id: MeterID(rawValue: id), limit: RateLimit(bitsPerSecond: bitsPerSecond))
    }

    private static func hold(_ meters: RouteMeters, in kernel: Kernel) throws -> HeldMeter {
        let held = kernel.meters.hold(meters, .toPeer)
        return try #require(held)
    }

    @Test("Routes share meters, a limit changes in place and forgets what was used up, and the last use frees it")
    func sharing() throws {
        let kernel = try Kernel(routes: 8)
        let user = Self.meter(9, 8_000_000)
        let first = try Self.hold(RouteMeters(allocation: Self.meter(1, 800_000), user: user), in: kernel)
        let second = try Self.hold(RouteMeters(allocation: Self.meter(2, 800_000), user: user), in: kernel)
        let one = kernel.program.meters + Int(first.index.rawValue)
        let two = kernel.program.meters + Int(second.index.rawValue)
        #expect(one.pointee.next == two.pointee.next && one.pointee.next != 0 && one != two)
        #expect(one.pointee.bytes.interval == 10_000 << 16 && one.pointee.bytes.burst == 655_360_000)
        #expect(kernel.meters.usedCount == 3)

        two.pointee.bytes.until = .max / 4
        one.pointee.bytes.until = 77
        let again = try Self.hold(RouteMeters(allocation: Self.meter(1, 16_000_000), user: user), in: kernel)
        #expect(again == first && kernel.meters.isIntact(first))
        #expect(one.pointee.bytes.interval == 500 << 16 && one.pointee.bytes.burst == 250_000_000)
        #expect(one.pointee.bytes.until == 0 && two.pointee.bytes.until == .max / 4)
        one.pointee.bytes.burst += 1
        #expect(!kernel.meters.isIntact(first))

        kernel.meters.release(first)
        kernel.meters.release(second)
        let freed = kernel.meters.takeQuarantined(at: .max)
        #expect(kernel.meters.usedCount == 2 && freed == [second.index])
        kernel.meters.release(again)
        let rest = kernel.meters.takeQuarantined(at: .max)
        #expect(kernel.meters.usedCount == 0 && rest.count == 2)
    }

    @Test("A user's meter stays until nothing of its burst is used up: a new route brings no new burst")
    func retention() throws {
        let kernel = try Kernel(routes: 8)
        let meters = RouteMeters(allocation: Self.meter(1, 800_000), user: Self.meter(9, 800_000))
        let first = try Self.hold(meters, in: kernel)
        let index = kernel.program.meters[Int(first.index.rawValue)].next
        kernel.program.meters[Int(first.index.rawValue)].bytes.until = 1_000
        kernel.program.meters[Int(index)].packets.until = 1_000
        kernel.meters.release(first)
        let early = kernel.meters.takeQuarantined(at: 999)
        #expect(early == [first.index] && kernel.meters.usedCount == 1)

        let alone = try Self.hold(RouteMeters(user: Self.meter(9, 800_000)), in: kernel)
        #expect(alone.index.rawValue == index && kernel.program.meters[Int(index)].packets.until == 1_000)
        let held = kernel.meters.takeQuarantined(at: 1_000)
        #expect(held.isEmpty && kernel.meters.usedCount == 1)
        kernel.meters.release(alone)
        let late = kernel.meters.takeQuarantined(at: 1_000)
        #expect(late == [alone.index] && kernel.meters.usedCount == 0)
    }

    @Test("Where no meter is left nothing is held, until readers are gone from those that were given back")
    func full() throws {
        let program = try XDPProgram(sizes: XDPProgram.Sizes(routes: 8, meters: 1))
        var table = MeterTable(program.meters, count: 1)
        let alone = RouteMeters(allocation: Self.meter(1, 1000))
        let both = RouteMeters(allocation: Self.meter(2, 1000), user: Self.meter(3, 1000))
        let held = table.hold(alone, .toPeer) ?? .none
        let refused = table.hold(both, .toPeer)
        #expect(refused == nil && table.usedCount == 1 && held != .none)
        let unlimited = table.hold(.none, .toPeer)
        #expect(unlimited == HeldMeter.none)
        table.release(held)
        // What failed gave its user's element back, which waits like any other.
        let tooEarly = table.hold(both, .toPeer)
        #expect(tooEarly == nil)
        table.sweep(table.takeQuarantined(at: .max))
        let late = table.hold(both, .toPeer)
        #expect(late != nil && table.usedCount == 2)
    }

    @Test("Random changes leave each entry with the meters that its route has")
    func model() throws {
        var generator = SeededGenerator()
        let namespace = try RouteHost.namespace()
        try namespace.inside {
            let kernel = try Kernel(routes: 64)
            let host = try RouteHost(kernel.program)
            defer { host.finder.close() }
            var table = host.table
            var model: [Int: (meters: RouteMeters, toPeer: RouteTable.Placed, toClient: RouteTable.Placed)] = [:]
            // Of each meter, what was said last: nanoseconds a byte.
            var limits: [UInt64: UInt64] = [:]
            for step in 0..<3000 {
                let number = Int.random(in: 0..<60, using: &generator)
                if let known = model[number], Bool.random(using: &generator) {
                    table.remove(known.toPeer)
                    table.remove(known.toClient)
                    model[number] = nil
                } else {
                    var route = World.numberedRoute(number)
                    route.meters = Self.randomMeters(of: number, &limits, &generator)
                    let installed =
                        model[number].flatMap { known in
                            var (toPeer, toClient) = (known.toPeer, known.toClient)
                            return table.meter(&toPeer, &toClient, route.meters) ? (toPeer, toClient) : nil
                        } ?? table.install(route)
                    let placed = try #require(installed, "\(generator), step \(step)")
                    model[number] = (route.meters, placed.0, placed.1)
                }
                for (_, known) in model {
                    for placed in [known.toPeer, known.toClient] {
                        let found = Self.intervals(of: placed, in: kernel.program)
                        let chain = [known.meters.allocation, known.meters.user].compactMap { $0 }
                        let wanted = chain.compactMap { limits[$0.id.rawValue] }.map { $0 << 16 }
                        try #require(found == wanted, "\(generator), step \(step)")
                    }
                }
                if step % 16 == 0 { table.sweep(table.takeQuarantine()) }
            }
            for (_, known) in model {
                table.remove(known.toPeer)
                table.remove(known.toClient)
            }
            #expect(table.meterCount == 0, "\(generator)")
        }
    }

    /// Allocations of four routes each, users of three allocations each.
    private static func randomMeters(
        of number: Int, _ limits: inout [UInt64: UInt64], _ generator: inout SeededGenerator
    ) -> RouteMeters {
        func meter(_ id: UInt64) -> RouteMeter {
            let nanoseconds = ([1, 2, 5, 8, 10, 100, 500, 1000] as [UInt64]).randomElement(using: &generator) ?? 1
            limits[id] = nanoseconds
            return Self.meter(id, 8_000_000_000 / nanoseconds)
        }
        return RouteMeters(allocation: meter(UInt64(number / 4)), user: meter(UInt64(100 + number / 12)))
    }

    /// The chain that an entry begins.
    private static func intervals(of placed: RouteTable.Placed, in program: XDPProgram) -> [UInt64] {
        var found: [UInt64] = []
        var index = program.entries[placed.slot.rawValue].meter
        while index != 0, found.count < 3 {
            found.append(program.meters[Int(index)].bytes.interval)
            index = program.meters[Int(index)].next
        }
        return found
    }
}
