// Unsafe code: the C functions write their answers through pointers to local variables.

import CLinux
import RelayWorker
import STUN

/// A pair of addresses that frames travel between.
struct Way: Hashable, Sendable {
    let source: IPAddress
    let destination: IPAddress
}

/// What the kernel's tables say about a way.
struct FoundWay: Hashable, Sendable {
    /// The neighbour that frames are handed to, and its interface; nothing without a route.
    var neighbour: IPAddress?
    var interfaceIndex: UInt32 = 0
    /// Nothing until the neighbour's MAC address is known, or where the interface is not ours to send by.
    var nextHop: NextHop?
}

/// Asks the kernel where packets leave, over netlink.
struct WayFinder: Sendable {
    private let netlink: Int32
    /// The interfaces that frames may leave by.
    let interfaces: [UInt32: NetworkInterface]

    init(interfaces: [NetworkInterface]) throws(PlaneError) {
        netlink = clinux_netlink_open()
        guard netlink >= 0 else {
            throw PlaneError(
                what: "opening a netlink socket", why: String(systemErrorNumber: -netlink),
                mend: "Let this process use AF_NETLINK (systemd: RestrictAddressFamilies).")
        }
        self.interfaces = Dictionary(interfaces.map { ($0.index, $0) }) { $1 }
    }

    func close() { _ = clinux_close(netlink) }

    func find(_ way: Way) -> FoundWay {
        var route = clinux_route()
        let error = unsafe clinux_find_route(
            netlink, clinux_address(way.source, port: 0), clinux_address(way.destination, port: 0), &route)
        guard error == 0, let neighbour = IPAddress(route.next_hop) else { return FoundWay() }
        var found = FoundWay(neighbour: neighbour, interfaceIndex: route.interface_index)
        guard let interface = interfaces[route.interface_index] else { return found }
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
