/// The sum of RFC 1071 over 16-bit words, in the byte order of memory: its byte order does not matter until it is read.
struct InternetChecksum {
    private var sum: UInt64 = 0

    /// Adds an even count of bytes as they stand in memory.
    mutating func add(_ word: UInt64) {
        sum &+= word & 0xFFFF_FFFF
        sum &+= word >> 32
    }

    /// Adds bytes; an odd last one counts as if a zero followed.
    mutating func add(_ bytes: RawSpan) {
        var offset = 0
        while offset &+ 8 <= bytes.byteCount {
            add(unsafe bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: UInt64.self))
            offset &+= 8
        }
        var rest: UInt64 = 0
        var shift: UInt64 = 0
        while offset < bytes.byteCount {
            rest |= UInt64(unsafe bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: UInt8.self)) << shift
            shift &+= 8
            offset &+= 1
        }
        add(UInt64(littleEndian: rest))
    }

    /// What goes into a UDP header, to be stored as it is: zero would mean "none", so it is sent as its other form.
    var forUDP: UInt16 {
        var folded = sum
        while folded > 0xFFFF { folded = (folded & 0xFFFF) &+ (folded >> 16) }
        let checksum = ~UInt16(truncatingIfNeeded: folded)
        return checksum == 0 ? 0xFFFF : checksum
    }
}
