import RelayCore
import STUN

/// Addresses of one family from the first to the last, both included: `10.0.0.0-10.1.255.255`, a network, or one address.
struct AddressRange: Equatable {
    let family: AddressFamily
    let first: UInt128
    let last: UInt128

    init(_ family: AddressFamily, _ first: UInt128, _ last: UInt128) {
        precondition(first <= last, "a range that ends before it begins")
        self.family = family
        self.first = first
        self.last = last
    }

    init?(_ text: String) {
        if let network = try? CIDR(text) {
            let width = network.network.family.bitWidth
            let first = network.network.number
            let hostBits = width - UInt8(network.prefixLength)
            self.init(network.network.family, first, first | Self.mask(hostBits))
            return
        }
        let ends = text.split(separator: "-", omittingEmptySubsequences: false).map { IPAddress(String($0)) }
        guard ends.count == 2, let first = ends[0], let last = ends[1], first.family == last.family,
            first.number <= last.number
        else { return nil }
        self.init(first.family, first.number, last.number)
    }

    /// The fewest ranges that are networks and hold these addresses and no other, in order.
    var networks: [AddressRange] {
        var networks: [AddressRange] = []
        var next = first
        while true {
            // As large as its alignment allows, and no larger than what is left.
            var hostBits = min(UInt8(next == 0 ? Int(family.bitWidth) : next.trailingZeroBitCount), family.bitWidth)
            while hostBits > 0, Self.mask(hostBits) > last - next { hostBits -= 1 }
            let end = next + Self.mask(hostBits)
            networks.append(AddressRange(family, next, end))
            guard end < last else { return networks }
            next = end + 1
        }
    }

    /// Whether every address of `other` is one of these.
    func contains(_ other: AddressRange) -> Bool {
        family == other.family && first <= other.first && other.last <= last
    }

    /// The lowest `bits` bits.
    private static func mask(_ bits: UInt8) -> UInt128 { bits >= 128 ? .max : (UInt128(1) << UInt128(bits)) - 1 }
}

extension AddressRange: CustomStringConvertible {
    /// `10.0.0.0/8` for a network, else first and last.
    var description: String {
        let hostBits = UInt8((first ^ last).bitWidth - (first ^ last).leadingZeroBitCount)
        guard first & Self.mask(hostBits) == 0, last == first | Self.mask(hostBits) else {
            return "\(IPAddress(family, first))-\(IPAddress(family, last))"
        }
        return "\(IPAddress(family, first))/\(family.bitWidth - hostBits)"
    }
}

extension AddressFamily {
    fileprivate var bitWidth: UInt8 { self == .ipv4 ? 32 : 128 }
}

extension IPAddress {
    /// The address as a number.
    var number: UInt128 { UInt128(high) << 64 | UInt128(low) }

    init(_ family: AddressFamily, _ number: UInt128) {
        switch family {
        case .ipv4: self.init(v4: UInt32(truncatingIfNeeded: number))
        case .ipv6: self.init(v6High: UInt64(truncatingIfNeeded: number >> 64), low: UInt64(truncatingIfNeeded: number))
        }
    }
}
