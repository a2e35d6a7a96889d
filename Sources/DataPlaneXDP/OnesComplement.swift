import STUN

/// A ones' complement sum of 16-bit words (RFC 1071), in host order.
struct OnesComplement {
    private var sum: UInt32 = 0

    mutating func add(_ word: UInt16) { sum += UInt32(word) }

    /// Takes a word away: adds its complement.
    mutating func remove(_ word: UInt16) { sum += UInt32(~word) }

    mutating func add(_ address: IPAddress) {
        for index in 0..<address.wordCount { add(address.word(index)) }
    }

    mutating func remove(_ address: IPAddress) {
        for index in 0..<address.wordCount { remove(address.word(index)) }
    }

    /// The sum in 16 bits.
    var folded: UInt16 {
        var rest = sum
        while rest > 0xFFFF { rest = rest & 0xFFFF + rest >> 16 }
        return UInt16(rest)
    }
}

extension IPAddress {
    /// How many 16-bit words the address has: two of IPv4, eight of IPv6.
    fileprivate var wordCount: Int { family == .ipv4 ? 2 : 8 }

    /// One of them, the first at 0.
    fileprivate func word(_ index: Int) -> UInt16 {
        let fromEnd = wordCount - 1 - index
        return UInt16(truncatingIfNeeded: (fromEnd < 4 ? low : high) >> (16 * (fromEnd % 4)))
    }
}
