import STUN

/// A ones' complement sum of 16-bit words (RFC 1071), in host order.
struct OnesComplement {
    private var sum: UInt32 = 0

    mutating func add(_ word: UInt16) { sum += UInt32(word) }

    /// Takes a word away: adds its complement.
    mutating func remove(_ word: UInt16) { sum += UInt32(~word) }

    mutating func add(_ address: IPAddress) { for word in address.words { add(word) } }

    mutating func remove(_ address: IPAddress) { for word in address.words { remove(word) } }

    /// The sum in 16 bits.
    var folded: UInt16 {
        var rest = sum
        while rest > 0xFFFF { rest = rest & 0xFFFF + rest >> 16 }
        return UInt16(rest)
    }
}

extension IPAddress {
    /// The address as 16-bit words: two of IPv4, eight of IPv6.
    fileprivate var words: [UInt16] {
        let halves = family == .ipv4 ? [UInt64(low) << 32] : [high, low]
        let words = halves.flatMap { half in (0..<4).map { UInt16(truncatingIfNeeded: half >> (48 - 16 * $0)) } }
        return family == .ipv4 ? Array(words.prefix(2)) : words
    }
}
