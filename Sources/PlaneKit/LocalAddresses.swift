import CLinux
import RelayWorker
import STUN

/// A local address that sockets of this plane send from.
struct LocalAddress {
    let ip: IPAddress
    /// For control messages; version 0 where the socket's own address will do.
    let source: clinux_address
    /// A raw socket bound to the address, or -1.
    let rawDescriptor: Int32
    /// The TTL or hop limit that this host gives its own datagrams.
    let hopLimit: UInt8
}

/// The few local addresses of this plane, and the raw sockets that belong to relay addresses.
struct LocalAddresses: ~Copyable {
    private var addresses: [LocalAddress] = []

    var count: Int { addresses.count }

    subscript(index: Int) -> LocalAddress { addresses[index] }

    /// An address that a vantage of a wildcard listener sends from.
    mutating func addVantage(_ ip: IPAddress) -> Int {
        if let known = addresses.firstIndex(where: { $0.ip == ip && $0.source.version != 0 }) { return known }
        addresses.append(
            LocalAddress(ip: ip, source: clinux_address(ip, port: 0), rawDescriptor: -1, hopLimit: 0))
        return addresses.count - 1
    }

    /// The place of a relay address; a raw socket is opened with its first relay socket, if `usesRaw`. Where the kernel
    /// refuses one, the relay sockets send for themselves.
    mutating func relay(_ ip: IPAddress, usesRaw: Bool) -> Int {
        if let known = addresses.firstIndex(where: { $0.ip == ip && $0.source.version == 0 }) { return known }
        let version: UInt8 = ip.family == .ipv4 ? 4 : 6
        var descriptor = usesRaw ? clinux_open_raw(version, clinux_address(ip, port: 0)) : -1
        let hopLimit = descriptor < 0 ? 0 : clinux_hop_limit(descriptor, version)
        if descriptor >= 0, hopLimit <= 0 {
            _ = clinux_close(descriptor)
            descriptor = -1
        }
        addresses.append(
            LocalAddress(
                ip: ip, source: clinux_address(), rawDescriptor: descriptor, hopLimit: UInt8(clamping: hopLimit)))
        return addresses.count - 1
    }

    deinit {
        for address in addresses where address.rawDescriptor >= 0 { _ = clinux_close(address.rawDescriptor) }
    }
}
