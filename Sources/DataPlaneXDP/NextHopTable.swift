// Unsafe code: the next hops are memory that the kernel's program reads. The pointer comes from `XDPProgram`, which
// outlives the table, and every index comes from the table itself.

import CRelayABI

/// Where frames go next.
struct NextHop: Hashable, Sendable {
    let interfaceIndex: UInt32
    let mtu: UInt16
    let destination: MACAddress
    let source: MACAddress

    /// Others on the link choose the destination; the rest tells few apart.
    func hash(into hasher: inout Hasher) { hasher.combine(destination) }
}

/// The writer's side of `relay_next_hops`: each next hop once, whoever uses it. A changed one is another one.
@safe
struct NextHopTable: @unchecked Sendable {
    private struct Place {
        let index: UInt16
        var users: Int
    }

    private let memory: UnsafeMutablePointer<relay_next_hop>
    private var places: [NextHop: Place] = [:]
    /// By index; the first one stands for none.
    private var hops: [NextHop?] = [nil]
    private var free: [UInt16] = []
    private var quarantine: [UInt16] = []

    init(_ memory: UnsafeMutablePointer<relay_next_hop>) { unsafe self.memory = memory }

    /// The index of a next hop, which is used once more from now on; `RELAY_NO_NEXT_HOP` if there are too many.
    mutating func take(_ hop: NextHop) -> UInt16 {
        if let place = places[hop] {
            places[hop]?.users += 1
            return place.index
        }
        guard let index = free.popLast() ?? fresh() else { return UInt16(RELAY_NO_NEXT_HOP) }
        var written = relay_next_hop()
        written.interface_index = hop.interfaceIndex
        written.mtu = hop.mtu
        written.destination = hop.destination.octets
        written.source = hop.source.octets
        unsafe memory[Int(index)] = written
        places[hop] = Place(index: index, users: 1)
        hops[Int(index)] = hop
        return index
    }

    private mutating func fresh() -> UInt16? {
        guard hops.count < Int(RELAY_BARRED_NEXT_HOP) else { return nil }
        hops.append(nil)
        return UInt16(hops.count - 1)
    }

    /// Ends one use. With the last one the place waits until no reader can still look at it.
    mutating func giveBack(_ index: UInt16) {
        guard Int(index) < hops.count, let hop = hops[Int(index)], let place = places[hop] else { return }
        guard place.users == 1 else {
            places[hop]?.users -= 1
            return
        }
        places[hop] = nil
        hops[Int(index)] = nil
        quarantine.append(index)
    }

    mutating func takeQuarantined() -> [UInt16] {
        defer { quarantine = [] }
        return quarantine
    }

    mutating func sweep(_ indices: [UInt16]) { free += indices }
}
