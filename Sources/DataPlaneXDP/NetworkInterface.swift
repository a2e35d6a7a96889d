// Unsafe code: the C functions write into memory that is lent to them for the call.

import CLinux
import Glibc
import RelayWorker
import STUN

/// An interface of this host, as far as XDP cares.
struct NetworkInterface: Hashable, Sendable {
    let index: UInt32
    let name: String
    let driver: String
    let mtu: UInt32
    /// Of IPv6 packets, which may be smaller: `net.ipv6.conf.NAME.mtu`, that routers' advertisements set, too. The other
    /// one where there is no IPv6.
    let ipv6MTU: UInt32
    let mac: MACAddress
    let isEthernet: Bool
    /// Large receive offload joins packets before a program could see them.
    let hasLRO: Bool
    /// VLAN tags are taken off before a program could see them: a tagged frame looks like any other.
    let stripsVLANTags: Bool
    /// Queues that receive, and how many there may be; 0 where the driver does not say.
    let queueCount: Int
    let largestQueueCount: Int
    /// NETDEV_XDP_ACT_* of linux/netdev.h; nothing where the kernel does not say.
    let xdpFeatures: UInt64?

    var isVeth: Bool { driver == "veth" }

    /// Whether the driver takes native programs and redirects for them; nothing where the kernel does not say.
    var canXDP: Bool? { xdpFeatures.map { $0 & 3 == 3 } }

    /// Whether the driver sends what another interface's program redirects to it, as it is now: some do only while they
    /// have a program themselves, a veth while its other end has GRO or a program. Nothing where the kernel does not say.
    var sendsRedirected: Bool? { Self.xdpFeatures(of: index).map { $0 & 4 == 4 } }
}

extension NetworkInterface {
    init?(index: UInt32) {
        guard let found = try? Self.read(index) else { return nil }
        self = found
    }

    /// As it is now; nothing where there is none of this index any more.
    static func read(_ index: UInt32) throws(PlaneError) -> NetworkInterface? {
        var read = clinux_interface()
        let error = unsafe clinux_read_interface(index, &read)
        guard error != -ENXIO, error != -ENODEV else { return nil }
        guard error == 0 else { throw unreadable(-error) }
        return NetworkInterface(
            index: index, name: text(read.name), driver: text(read.driver), mtu: read.mtu,
            ipv6MTU: read.ipv6_mtu > 0 ? min(read.ipv6_mtu, read.mtu) : read.mtu, mac: MACAddress(read.mac),
            isEthernet: read.is_ethernet != 0, hasLRO: read.has_lro != 0,
            stripsVLANTags: read.strips_vlan_tags != 0, queueCount: Int(read.queues),
            largestQueueCount: Int(read.most_queues), xdpFeatures: xdpFeatures(of: index))
    }

    init?(name: String) {
        let index = unsafe clinux_interface_index(name)
        guard index != 0 else { return nil }
        self.init(index: index)
    }

    private static func xdpFeatures(of index: UInt32) -> UInt64? {
        var features: UInt64 = 0
        return unsafe clinux_xdp_features(index, &features) == 0 ? features : nil
    }

    /// The interfaces that carry any of these addresses, each once.
    static func carrying(_ addresses: [IPAddress]) -> [NetworkInterface] {
        var indices: [UInt32] = []
        let carried = ((try? Self.addresses()) ?? []).filter { addresses.contains($0.address) }
        for entry in carried where !indices.contains(entry.index) { indices.append(entry.index) }
        return indices.compactMap { NetworkInterface(index: $0) }
    }

    /// The interfaces that this host reaches the world by: the routes to the documentation addresses are the default ones,
    /// where any are.
    static func ofDefaultRoutes(_ families: Set<AddressFamily>) -> [NetworkInterface] {
        guard !families.isEmpty else { return [] }
        let netlink = clinux_netlink_open()
        guard netlink >= 0 else { return [] }
        defer { _ = clinux_close(netlink) }
        var indices: [UInt32] = []
        for family in AddressFamily.allCases where families.contains(family) {
            let (any, world) =
                family == .ipv4
                ? (IPAddress(v4: 0), IPAddress(v4: 0xC000_0201))
                : (IPAddress(v6High: 0, low: 0), IPAddress(v6High: 0x2001_0DB8 << 32, low: 1))
            var route = clinux_route()
            let error = unsafe clinux_find_route(
                netlink, clinux_address(any, port: 0), clinux_address(world, port: 0), &route)
            if error == 0, !indices.contains(route.interface_index) { indices.append(route.interface_index) }
        }
        return indices.compactMap { NetworkInterface(index: $0) }
    }

    /// Every address of an interface that is up.
    static func addresses() throws(PlaneError) -> [(address: IPAddress, index: UInt32)] {
        var entries = [clinux_interface_address](repeating: clinux_interface_address(), count: 256)
        var count = unsafe clinux_interface_addresses(&entries, Int32(entries.count))
        while count > entries.count {
            entries = Array(repeating: clinux_interface_address(), count: Int(count) + 16)
            count = unsafe clinux_interface_addresses(&entries, Int32(entries.count))
        }
        guard count >= 0 else { throw unreadable(-count) }
        return entries.prefix(Int(count)).compactMap { entry in
            IPAddress(entry.address).map { ($0, entry.interface_index) }
        }
    }

    private static func unreadable(_ errno: Int32) -> PlaneError {
        PlaneError(
            what: "reading the interfaces of this host", why: String(systemErrorNumber: errno),
            mend: "Raise the limit of open files (LimitNOFILE), and let this process use AF_NETLINK "
                + "(RestrictAddressFamilies).")
    }

    private static func text<Tuple>(_ characters: Tuple) -> String {
        unsafe withUnsafeBytes(of: characters) { bytes in
            unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
    }
}
