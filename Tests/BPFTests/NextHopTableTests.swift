import CRelayABI
import Testing

@testable import DataPlaneXDP

@Suite("Next hops by index")
struct NextHopTableTests {
    private func hop(_ number: UInt8) -> NextHop {
        NextHop(
            interfaceIndex: 7, mtu: 1500, destination: MACAddress((2, 0, 0, 0, 0, number)),
            source: MACAddress((2, 0, 0, 0, 1, 0)))
    }

    @Test("A place that is given back is not written again while somebody may read it")
    func quarantine() {
        let memory = UnsafeMutablePointer<relay_next_hop>.allocate(capacity: Int(RELAY_NEXT_HOPS))
        memory.initialize(repeating: relay_next_hop(), count: Int(RELAY_NEXT_HOPS))
        defer { memory.deallocate() }
        var table = NextHopTable(memory)
        let first = table.take(hop(1))
        #expect(first != UInt16(RELAY_NO_NEXT_HOP))
        #expect(table.take(hop(1)) == first, "one hop has one place")
        table.giveBack(first)
        #expect(table.takeQuarantined() == [], "it is still used once")
        table.giveBack(first)
        let second = table.take(hop(2))
        #expect(second != first)
        #expect(memory[Int(first)].destination.5 == 1 && memory[Int(second)].destination.5 == 2)
        let waiting = table.takeQuarantined()
        #expect(waiting == [first])
        // Taken is not swept: the readers may still be there.
        let third = table.take(hop(3))
        #expect(third != first && memory[Int(first)].destination.5 == 1)
        table.sweep(waiting)
        #expect(table.take(hop(4)) == first)
        #expect(memory[Int(first)].destination.5 == 4)
    }
}
