public import STUN

/// A range of addresses by prefix: a network address and the number of leading bits that count.
public struct CIDR: Sendable, Hashable {
    /// The lowest address of the range: every bit behind the prefix is zero.
    public let network: IPAddress
    /// 0 to 32 for IPv4, 0 to 128 for IPv6.
    public let prefixLength: UInt8

    /// Parses `10.0.0.0/8`, `2001:db8::/32`, or an address alone, which stands for itself.
    public init(_ text: some StringProtocol) throws(CIDRError) {
        let found = String(text)
        let parts = found.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = IPAddress(parts[0]) else { throw .notAnAddress(found: found) }
        let width = address.bitWidth
        guard parts.count == 2 else {
            self.init(unchecked: address, width)
            return
        }
        guard parts[1].utf8.allSatisfy({ (0x30...0x39).contains($0) }), let length = UInt8(parts[1]), length <= width
        else { throw .badPrefixLength(found: found, maximum: width) }
        let network = address.masked(to: length)
        guard network == address else {
            throw .hostBitsSet(found: found, network: CIDR(unchecked: network, length))
        }
        self.init(unchecked: network, length)
    }

    /// The range of this one address.
    public init(of address: IPAddress) {
        self.init(unchecked: address, address.bitWidth)
    }

    /// The range of `prefixLength` bits that `address` lies in.
    init(of address: IPAddress, prefixLength: UInt8) {
        precondition(prefixLength <= address.bitWidth)
        self.init(unchecked: address.masked(to: prefixLength), prefixLength)
    }

    private init(unchecked network: IPAddress, _ prefixLength: UInt8) {
        self.network = network
        self.prefixLength = prefixLength
    }

    /// Whether `address` is of the same family and shares the prefix.
    public func contains(_ address: IPAddress) -> Bool {
        address.family == network.family && address.masked(to: prefixLength) == network
    }
}

extension CIDR: CustomStringConvertible {
    /// `10.0.0.0/8`: always with the prefix length.
    public var description: String { "\(network)/\(prefixLength)" }
}

/// Why a text is no ``CIDR``, in words for whoever wrote it.
public enum CIDRError: Error, Sendable, Hashable, CustomStringConvertible {
    /// What stands before the slash, or alone, is no IPv4 or IPv6 address.
    case notAnAddress(found: String)
    /// What stands behind the slash is no number from 0 to `maximum`.
    case badPrefixLength(found: String, maximum: UInt8)
    /// Bits behind the prefix are set: an address was written, or the prefix is too short.
    case hostBitsSet(found: String, network: CIDR)

    public var description: String {
        switch self {
        case .notAnAddress(let found):
            "found \"\(found)\"; accepted are an IPv4 or IPv6 address and a range such as 10.0.0.0/8 or 2001:db8::/32"
        case .badPrefixLength(let found, let maximum):
            "found \"\(found)\"; accepted behind the slash is a prefix length from 0 to \(maximum)"
        case .hostBitsSet(let found, let network):
            "found \"\(found)\", which has bits set behind the prefix; the network is \(network), "
                + "the address alone \(found.prefix { $0 != "/" })"
        }
    }
}

extension IPAddress {
    /// 32 or 128.
    var bitWidth: UInt8 { family == .ipv4 ? 32 : 128 }

    /// The address with every bit behind the first `length` zero.
    func masked(to length: UInt8) -> IPAddress {
        // Swift's shifts give zero (or all of it) beyond the width, so no length needs a case of its own.
        switch family {
        case .ipv4:
            IPAddress(v4: UInt32(truncatingIfNeeded: low) & ~(UInt32.max >> UInt32(length)))
        case .ipv6:
            IPAddress(
                v6High: high & ~(UInt64.max >> UInt64(length)),
                low: length < 64 ? 0 : low & ~(UInt64.max >> UInt64(length - 64)))
        }
    }
}
