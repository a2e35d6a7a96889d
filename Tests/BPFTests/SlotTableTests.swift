import CRelayABI
import ReferenceRelay
import STUN
import TestSeed
import Testing

@testable import DataPlaneXDP
@testable import RelayCore

@Suite("The table that the program reads", .enabled(if: Kernel.isAvailable, "\(Kernel.reason)"))
struct SlotTableTests {
    private func route(_ number: Int) -> Route {
        Route(
            id: RouteID(index: UInt32(number)),
            client: TransportAddress(IPAddress(v4: 0x0A00_0000 + UInt32(number)), port: 9),
            server: World.server4, channel: channel(0x4000),
            relay: TransportAddress(World.relay4, port: 49152 + UInt16(number % 16384)),
            peer: TransportAddress(ip("203.0.113.9"), port: UInt16(1 + number / 16384)), until: Instant(nanoseconds: 0))
    }

    private func frame(_ route: Route) -> [UInt8] {
        Frame(from: route.client, to: route.server, data: channelData(0x4000, [1, 2])).bytes
    }

    @Test("65,536 routes are installed, found and removed, twice over")
    func many() throws {
        let kernel = try Kernel(routes: 65_536)
        let hop = kernel.addNextHop(
            ReferenceHop(mtu: 1500, destination: [2, 0, 0, 0, 0, 3], source: [2, 0, 0, 0, 0, 4]))
        for _ in 0..<2 {
            var slots: [SlotIndex] = []
            for number in 0..<65_536 {
                for direction in [Direction.toPeer(route(number)), .toClient(route(number))] {
                    let slot = kernel.table.insert(
                        direction.entry(lease: .max, nextHop: hop, flags: 0, seed: Kernel.seed))
                    slots.append(try #require(slot, "route \(number) found no room"))
                }
            }
            #expect(kernel.table.liveCount == 131_072)
            for number in stride(from: 0, to: 65_536, by: 61) {
                #expect(try kernel.run(frame(route(number))).verdict == .transmit)
            }
            for slot in slots { kernel.table.remove(slot) }
            #expect(kernel.table.liveCount == 0)
            #expect(try kernel.run(frame(route(7))).verdict == .pass)
            kernel.table.sweep(kernel.table.takeQuarantined())
        }
        // Swept slots are empty again, so a stranger's look-up ends at the first one.
        let states = (0..<kernel.program.sizes.slots).count {
            kernel.program.entries[$0].state != RELAY_SLOT_EMPTY.rawValue
        }
        #expect(states == 0)
    }

    @Test("The same datagrams cannot have two entries; removed ones make room only once nobody reads them")
    func quarantine() throws {
        let kernel = try Kernel(routes: 1)
        let entry = Direction.toPeer(route(1)).entry(lease: .max, nextHop: 0, flags: 0, seed: Kernel.seed)
        let first = kernel.table.insert(entry)
        let slot = try #require(first)
        #expect(kernel.table.insert(entry) == nil)
        kernel.table.remove(slot)
        let second = kernel.table.insert(entry)
        #expect(second != nil && second != slot, "memory was used again under its readers")
        #expect(kernel.table.hasQuarantined)
        kernel.table.sweep(kernel.table.takeQuarantined())
        kernel.table.remove(try #require(second))
        #expect(kernel.table.insert(entry) == slot)
    }

    @Test("A removed slot has no key any more: nothing of it can match while the next entry is written")
    func clearedKeys() throws {
        let kernel = try Kernel(routes: 1)
        let entry = Direction.toPeer(route(1)).entry(lease: .max, nextHop: 0, flags: 0, seed: Kernel.seed)
        let first = kernel.table.insert(entry)
        let slot = try #require(first)
        func hasKey() -> Bool {
            let line = kernel.program.entries[slot.rawValue]
            return line.in_source4 != 0 || line.in_destination4 != 0 || line.in_source_port != 0
                || line.in_destination_port != 0 || line.in_channel != 0 || line.in_version != 0
        }
        #expect(hasKey())
        kernel.table.remove(slot)
        #expect(!hasKey())
        // What the route carried is still to be had.
        #expect(kernel.table.traffic(slot) == 0 && kernel.program.entries[slot.rawValue].out_version == 4)
        kernel.table.sweep(kernel.table.takeQuarantined())
        let second = kernel.table.insert(entry)
        #expect(second == slot && hasKey())
        kernel.table.clear()
        #expect(!hasKey())
    }

    @Test("A full table refuses, and what it holds goes on")
    func full() throws {
        let kernel = try Kernel(routes: 1)
        let hop = kernel.addNextHop(
            ReferenceHop(mtu: 1500, destination: [2, 0, 0, 0, 0, 3], source: [2, 0, 0, 0, 0, 4]))
        var held: [Int] = []
        for number in 0..<64 {
            let entry = Direction.toPeer(route(number)).entry(lease: .max, nextHop: hop, flags: 0, seed: Kernel.seed)
            if kernel.table.insert(entry) != nil { held.append(number) }
        }
        #expect(held.count == kernel.program.sizes.slots)
        for number in 0..<64 {
            #expect(try kernel.run(frame(route(number))).verdict == (held.contains(number) ? .transmit : .pass))
        }
    }

    @Test("Random changes leave the table as a dictionary would be")
    func model() throws {
        var generator = SeededGenerator()
        let kernel = try Kernel(routes: 64)
        let hop = kernel.addNextHop(
            ReferenceHop(mtu: 1500, destination: [2, 0, 0, 0, 0, 3], source: [2, 0, 0, 0, 0, 4]))
        var model: [Int: SlotIndex] = [:]
        for step in 0..<4000 {
            let number = Int.random(in: 0..<150, using: &generator)
            if let slot = model.removeValue(forKey: number) {
                kernel.table.remove(slot)
            } else {
                let entry = Direction.toPeer(route(number)).entry(
                    lease: .max, nextHop: hop, flags: 0, seed: Kernel.seed)
                if let slot = kernel.table.insert(entry) { model[number] = slot }
            }
            if step % 16 == 0 { kernel.table.sweep(kernel.table.takeQuarantined()) }
            let asked = Int.random(in: 0..<150, using: &generator)
            #expect(
                try kernel.run(frame(route(asked))).verdict == (model[asked] != nil ? .transmit : .pass),
                "\(generator), step \(step)")
        }
        #expect(kernel.table.liveCount == model.count)
    }
}
