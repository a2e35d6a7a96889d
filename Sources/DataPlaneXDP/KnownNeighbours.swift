// Unsafe code: the C function writes into an array's memory, which is lent to it for the call.

import CLinux
import RelayWorker
import STUN

extension RouteTable.Neighbour {
    /// An address on two links is rare.
    func hash(into hasher: inout Hasher) {
        hasher.combine(address.high)
        hasher.combine(address.low)
    }
}

/// The MAC addresses of neighbours, as the kernel said them last. Who is missing has to be asked for: a listing may miss
/// somebody who comes meanwhile.
struct KnownNeighbours: Sendable {
    /// More are not kept.
    private static let most = 65_536

    private var macs: [RouteTable.Neighbour: MACAddress] = [:]
    private var interfaces: Set<UInt32> = []

    var count: Int { macs.count }

    init() {}

    /// Lists them, so that a link where each client is a neighbour is asked for once. Of a link that has too many, none.
    static func read(on interfaces: some Sequence<UInt32>) -> KnownNeighbours {
        var known = KnownNeighbours()
        for interface in interfaces {
            for neighbour in list(on: interface) where neighbour.interface_index == interface {
                guard let address = IPAddress(neighbour.address), known.macs.count < most else { continue }
                known[.init(address: address, interfaceIndex: interface)] = MACAddress(neighbour.mac)
            }
        }
        return known
    }

    private static func list(on interface: UInt32) -> [clinux_neighbour] {
        // Memory that the kernel's answer does not fill is reserved, not touched.
        unsafe Array(unsafeUninitializedCapacity: most) { buffer, count in
            count = max(0, Int(unsafe clinux_list_neighbours(interface, buffer.baseAddress, Int32(buffer.count))))
        }
    }

    subscript(neighbour: RouteTable.Neighbour) -> MACAddress? {
        get { macs[neighbour] }
        set {
            if newValue != nil, macs.count >= Self.most { macs = [:] }
            macs[neighbour] = newValue
            interfaces.insert(neighbour.interfaceIndex)
        }
    }

    /// These have changed, wherever they are.
    mutating func forget(_ changed: Set<IPAddress>) {
        for interface in interfaces {
            for address in changed { macs[.init(address: address, interfaceIndex: interface)] = nil }
        }
    }
}
