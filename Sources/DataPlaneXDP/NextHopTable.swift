// Unsafe code: the next hops are memory that the kernel's program reads. The pointer comes from `XDPProgram`, which
// outlives the table, and every index comes from the table itself.

import CRelayABI

/// Where frames go next.
struct NextHop: Hashable, Sendable {
    let interfaceIndex: UInt32
    let mtu: UInt16
    let destination: MACAddress
    let source: MACAddress
}

/// Six bytes of an Ethernet address.
struct MACAddress: Hashable, Sendable {
    let bytes: [UInt8]
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
    private var hops: [UInt16: NextHop] = [:]
    private var free: [UInt16] = []
    private var next: UInt16 = 1
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
        unsafe withUnsafeMutableBytes(of: &written.destination) { unsafe $0.copyBytes(from: hop.destination.bytes) }
        unsafe withUnsafeMutableBytes(of: &written.source) { unsafe $0.copyBytes(from: hop.source.bytes) }
        unsafe memory[Int(index)] = written
        places[hop] = Place(index: index, users: 1)
        hops[index] = hop
        return index
    }

    private mutating func fresh() -> UInt16? {
        guard Int(next) < Int(RELAY_BARRED_NEXT_HOP) else { return nil }
        defer { next += 1 }
        return next
    }

    /// Ends one use. With the last one the place waits until no reader can still look at it.
    mutating func giveBack(_ index: UInt16) {
        guard index != UInt16(RELAY_NO_NEXT_HOP), let hop = hops[index], let place = places[hop] else { return }
        guard place.users == 1 else {
            places[hop]?.users -= 1
            return
        }
        places[hop] = nil
        hops[index] = nil
        quarantine.append(index)
    }

    mutating func takeQuarantined() -> [UInt16] {
        defer { quarantine = [] }
        return quarantine
    }

    mutating func sweep(_ indices: [UInt16]) { free += indices }
}
