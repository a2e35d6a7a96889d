// Unsafe code: the C functions write their answers through pointers to local variables.

import CLinux
import RelayWorker
import STUN

/// How datagrams of one direction travel: where they arrive, and between which addresses they leave.
struct Way: Hashable, Sendable {
    let arrival: IPAddress
    let source: IPAddress
    let destination: IPAddress
    /// Another entry takes them over, and has a next hop.
    let isHandedOver: Bool
}

/// What the kernel's tables say about a way.
struct FoundWay: Hashable, Sendable {
    /// The neighbour that frames are handed to, and its interface; nothing without a route.
    var neighbour: IPAddress?
    var interfaceIndex: UInt32 = 0
    /// Nothing until the neighbour's MAC address is known, or where the interface is not ours to send by.
    var nextHop: NextHop?
    /// An address of this host that the way needs is not this host's: nothing may travel it.
    var isBarred = false
}

/// What of this host decides where frames may leave.
struct Surroundings: Sendable, Equatable {
    /// The interfaces that the program is attached to, and that frames may leave by.
    let interfaces: [UInt32: NetworkInterface]
    /// The addresses of all interfaces that are up.
    let addresses: Set<IPAddress>

    /// As they are now; an interface that is gone is left out.
    static func read(attachedTo indices: [UInt32]) -> Surroundings {
        let interfaces = indices.compactMap { NetworkInterface(index: $0) }
        return Surroundings(
            interfaces: Dictionary(interfaces.map { ($0.index, $0) }) { $1 },
            addresses: Set(NetworkInterface.addresses().map(\.address)))
    }
}

/// Asks the kernel where packets leave, over netlink.
struct WayFinder: Sendable {
    private let netlink: Int32
    /// Whether next hops are looked up; otherwise the program exchanges MAC addresses.
    private let looksUp: Bool
    var surroundings: Surroundings

    init(_ surroundings: Surroundings, looksUp: Bool) throws(PlaneError) {
        netlink = clinux_netlink_open()
        guard netlink >= 0 else {
            throw PlaneError(
                what: "opening a netlink socket", why: String(systemErrorNumber: -netlink),
                mend: "Let this process use AF_NETLINK (systemd: RestrictAddressFamilies).")
        }
        self.looksUp = looksUp
        self.surroundings = surroundings
    }

    /// Another one that asks the same.
    init(copying other: WayFinder) throws(PlaneError) { try self.init(other.surroundings, looksUp: other.looksUp) }

    func close() { _ = clinux_close(netlink) }

    func find(_ way: Way) -> FoundWay {
        guard surroundings.addresses.contains(way.arrival), surroundings.addresses.contains(way.source) else {
            return FoundWay(isBarred: true)
        }
        guard looksUp, !way.isHandedOver else { return FoundWay() }
        var route = clinux_route()
        let error = unsafe clinux_find_route(
            netlink, clinux_address(way.source, port: 0), clinux_address(way.destination, port: 0), &route)
        guard error == 0, let neighbour = IPAddress(route.next_hop) else { return FoundWay() }
        var found = FoundWay(neighbour: neighbour, interfaceIndex: route.interface_index)
        guard let interface = surroundings.interfaces[route.interface_index] else { return found }
        var mac: (UInt8, UInt8, UInt8, UInt8, UInt8, UInt8) = (0, 0, 0, 0, 0, 0)
        let status = unsafe withUnsafeMutableBytes(of: &mac) { bytes in
            unsafe clinux_find_neighbour(
                netlink, route.interface_index, route.next_hop, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self))
        }
        guard status == 0 else { return found }
        let mtu = route.mtu > 0 ? min(route.mtu, interface.mtu) : interface.mtu
        found.nextHop = NextHop(
            interfaceIndex: interface.index, mtu: UInt16(clamping: mtu),
            destination: MACAddress(bytes: [mac.0, mac.1, mac.2, mac.3, mac.4, mac.5]), source: interface.mac)
        return found
    }

    /// Has the kernel check that a neighbour is still there: what leaves below the stack never tells it.
    func use(_ neighbour: IPAddress, on interface: UInt32) {
        _ = clinux_use_neighbour(netlink, interface, clinux_address(neighbour, port: 0))
    }
}
