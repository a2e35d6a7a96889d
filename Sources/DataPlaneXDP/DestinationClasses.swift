// Unsafe code: the C function writes into an array that is lent to it for the call.

import CLinux
import Glibc
import RelayWorker
import STUN

/// Which destinations leave alike: two that lie in the same prefixes of all routes and rules get the same answer from
/// the kernel. What it learned about single destinations (redirects, path MTUs) are prefixes too.
struct DestinationClasses: Sendable, Equatable {
    struct Prefix: Hashable, Sendable {
        let address: IPAddress
        let length: UInt8

        /// The host's own prefixes, and what the kernel learned of single destinations: few words will do.
        func hash(into hasher: inout Hasher) {
            hasher.combine(address.high)
            hasher.combine(address.low ^ UInt64(length) << 56)
        }
    }

    /// Listing a table of the whole Internet costs more than it saves.
    private static let mostPrefixes = 4096

    /// By prefix, the MTU that a route names, or 0: a change of it is a change.
    private let prefixes: [Prefix: UInt32]
    /// The lengths that occur, the longest first.
    private let lengths4: [UInt8]
    private let lengths6: [UInt8]

    /// Routes or rules look at more of a datagram than its addresses, at ports or its type of service: what leaves how
    /// is known of each datagram alone, and nothing can be asked beforehand.
    let isByDatagram: Bool

    static let byDatagram = DestinationClasses([:], isByDatagram: true)

    init(_ prefixes: [Prefix: UInt32], isByDatagram: Bool = false) {
        self.prefixes = prefixes
        self.isByDatagram = isByDatagram
        func lengths(of family: AddressFamily) -> [UInt8] {
            Set(prefixes.keys.lazy.filter { $0.address.family == family }.map(\.length)).sorted(by: >)
        }
        lengths4 = lengths(of: .ipv4)
        lengths6 = lengths(of: .ipv6)
    }

    /// As the kernel's tables are now. Nothing where each destination has to be asked for: a route has several next hops,
    /// of which the kernel chooses by destination, or there are too many routes.
    static func read() -> DestinationClasses? {
        var list = [clinux_prefix](repeating: clinux_prefix(), count: mostPrefixes)
        let count = unsafe clinux_route_prefixes(&list, Int32(list.count))
        guard count != -EPROTOTYPE else { return .byDatagram }
        guard count >= 0 else { return nil }
        let prefixes = list.prefix(Int(count)).compactMap { prefix in
            IPAddress(prefix.address).map { (Prefix(address: $0, length: prefix.length), prefix.mtu) }
        }
        // Of a prefix in several tables both MTUs count: the value is only compared with the next.
        return DestinationClasses(Dictionary(prefixes) { $0 &* 31 &+ $1 })
    }

    /// The narrowest prefix around a destination: it names the class.
    func prefix(around destination: IPAddress) -> Prefix {
        for length in destination.family == .ipv4 ? lengths4 : lengths6 {
            let prefix = Prefix(address: destination.masked(to: length), length: length)
            if prefixes[prefix] != nil { return prefix }
        }
        return Prefix(address: destination.masked(to: 0), length: 0)
    }
}

extension IPAddress {
    /// The address with all bits behind the first `length` cleared.
    func masked(to length: UInt8) -> IPAddress {
        func mask(_ bits: Int) -> UInt64 { bits <= 0 ? 0 : ~0 << UInt64(64 - min(bits, 64)) }
        switch family {
        case .ipv4: return IPAddress(v4: UInt32(truncatingIfNeeded: low & mask(Int(length) + 32)))
        case .ipv6: return IPAddress(v6High: high & mask(Int(length)), low: low & mask(Int(length) - 64))
        }
    }
}
