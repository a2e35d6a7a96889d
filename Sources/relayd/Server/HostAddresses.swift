import Glibc
import RelayWorker
import STUN

/// The addresses of this host's interfaces, and the ones that its default routes start from.
enum HostAddresses {
    /// Every address of every interface.
    static func all() throws(PlaneError) -> [IPAddress] {
        var head: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&head) == 0 else {
            throw PlaneError(
                what: "cannot read the addresses of this host, which peers must not reach",
                why: String(systemErrorNumber: errno),
                mend: "Allow more open files (LimitNOFILE), and AF_NETLINK (systemd: RestrictAddressFamilies)")
        }
        defer { freeifaddrs(head) }
        var addresses: [IPAddress] = []
        var next = head
        while let entry = next {
            if let name = entry.pointee.ifa_addr, let address = read(name), !addresses.contains(address) {
                addresses.append(address)
            }
            next = entry.pointee.ifa_next
        }
        return addresses
    }

    /// The same for a relay that runs: a family that has no default route at the moment keeps its former address while that
    /// is still one of `host`.
    static func ofDefaultRoutes(keeping former: [IPAddress], of host: [IPAddress]) -> [IPAddress] {
        let found = ofDefaultRoutes()
        return AddressFamily.allCases.compactMap { family in
            found.first { $0.family == family } ?? former.first { $0.family == family && host.contains($0) }
        }
    }

    /// The source address that the kernel would take towards the world, per family. Connecting a UDP socket sends
    /// nothing; the documentation addresses are reached, if anything is, by the default route.
    static func ofDefaultRoutes() -> [IPAddress] {
        AddressFamily.allCases.compactMap { family in
            let address = family == .ipv4 ? sourceTowardsIPv4() : sourceTowardsIPv6()
            guard let address, !address.isLoopback, !address.isUnspecifiedAddress else { return nil }
            return address
        }
    }

    private static func sourceTowardsIPv4() -> IPAddress? {
        var target = sockaddr_in()
        target.sin_family = sa_family_t(AF_INET)
        target.sin_port = UInt16(9).bigEndian
        target.sin_addr.s_addr = UInt32(0xC000_0201).bigEndian
        return withUnsafePointer(to: &target) { source(AF_INET, towards: $0, MemoryLayout<sockaddr_in>.size) }
    }

    private static func sourceTowardsIPv6() -> IPAddress? {
        var target = sockaddr_in6()
        target.sin6_family = sa_family_t(AF_INET6)
        target.sin6_port = UInt16(9).bigEndian
        withUnsafeMutableBytes(of: &target.sin6_addr) { $0.copyBytes(from: [0x20, 0x01, 0x0D, 0xB8]) }
        target.sin6_addr.__in6_u.__u6_addr8.15 = 1
        return withUnsafePointer(to: &target) { source(AF_INET6, towards: $0, MemoryLayout<sockaddr_in6>.size) }
    }

    private static func source<Name>(
        _ family: Int32, towards target: UnsafePointer<Name>, _ byteCount: Int
    ) -> IPAddress? {
        let descriptor = socket(family, Int32(SOCK_DGRAM.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        let isConnected = target.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            connect(descriptor, $0, socklen_t(byteCount)) == 0
        }
        guard isConnected else { return nil }
        var name = sockaddr_in6()
        var length = socklen_t(MemoryLayout<sockaddr_in6>.size)
        return withUnsafeMutablePointer(to: &name) { name in
            name.withMemoryRebound(to: sockaddr.self, capacity: 1) { name in
                getsockname(descriptor, name, &length) == 0 ? read(name) : nil
            }
        }
    }

    private static func read(_ name: UnsafePointer<sockaddr>) -> IPAddress? {
        let bytes = UnsafeRawPointer(name)
        switch Int32(name.pointee.sa_family) {
        case AF_INET:
            return IPAddress(v4: UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: 4, as: UInt32.self)))
        case AF_INET6:
            let high = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
            let low = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 16, as: UInt64.self))
            return IPAddress(v6High: high, low: low)
        default:
            return nil
        }
    }
}
