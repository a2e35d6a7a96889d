/// The CRC-32 of ITU V.42 (polynomial 0x04C11DB7, reflected), which FINGERPRINT carries (RFC 8489 section 14.7).
@frozen
public enum CRC32 {
    /// What FINGERPRINT is XORed with, so that it is not the CRC of another protocol: "STUN" in ASCII.
    static let fingerprintMask: UInt32 = 0x5354_554E

    /// The CRC of `bytes`.
    public static func checksum(_ bytes: RawSpan) -> UInt32 {
        var remainder = ~UInt32(0)
        for offset in bytes.byteOffsets {
            let index = Int(truncatingIfNeeded: (remainder ^ UInt32(bytes.byte(at: offset))) & 0xFF)
            remainder = table[index] ^ remainder >> 8
        }
        return ~remainder
    }

    /// The remainders of all values of a byte, by the reflected polynomial.
    private static let table: InlineArray<256, UInt32> = InlineArray { index in
        var remainder = UInt32(truncatingIfNeeded: index)
        for _ in 0..<8 {
            remainder = remainder & 1 == 0 ? remainder >> 1 : remainder >> 1 ^ 0xEDB8_8320
        }
        return remainder
    }
}
