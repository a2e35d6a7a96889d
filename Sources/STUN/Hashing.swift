// Unsafe code: swift-crypto takes and gives bytes through pointers. Each pointer below lives for the one call that
// gets it.
//
// HMAC (RFC 2104) is composed here of swift-crypto's hash functions: its own HMAC type allocates several arrays for
// every key, which costs more than hashing a STUN message.

import Crypto
// For `ContiguousBytes`, which swift-crypto's digests give their bytes by.
import FoundationEssentials

/// The words of a digest in host order: eight for SHA-256, five for SHA-1, four for MD5, the rest zero.
typealias DigestWords = InlineArray<8, UInt32>

extension HashFunction {
    mutating func update(_ bytes: RawSpan) {
        unsafe bytes.withUnsafeBytes { unsafe update(bufferPointer: $0) }
    }

    mutating func update(_ byte: UInt8) {
        unsafe withUnsafeBytes(of: byte) { unsafe update(bufferPointer: $0) }
    }

    mutating func update<let count: Int>(_ words: InlineArray<count, UInt32>) {
        unsafe withUnsafeBytes(of: words) { unsafe update(bufferPointer: $0) }
    }

    func finalizedWords() -> DigestWords {
        unsafe finalize().withUnsafeBytes { digest in
            DigestWords { index in
                guard index * 4 < digest.count else { return 0 }
                return unsafe UInt32(bigEndian: digest.loadUnaligned(fromByteOffset: index * 4, as: UInt32.self))
            }
        }
    }

    /// The digest of three pieces with ":" between them.
    static func joined(_ first: RawSpan, _ second: RawSpan, _ third: RawSpan) -> DigestWords {
        var hash = Self()
        hash.update(first)
        hash.update(UInt8(ascii: ":"))
        hash.update(second)
        hash.update(UInt8(ascii: ":"))
        hash.update(third)
        return hash.finalizedWords()
    }

    /// The digest of two pieces with ":" between them.
    static func joined(_ first: RawSpan, _ second: RawSpan) -> DigestWords {
        var hash = Self()
        hash.update(first)
        hash.update(UInt8(ascii: ":"))
        hash.update(second)
        return hash.finalizedWords()
    }

    /// The HMAC of `prefix` (a word in host order, when there is one) and `bytes` under `block`: the key, padded
    /// with zeros to the 64 bytes of this function's block, as words in network order.
    static func authenticationCode(
        _ block: InlineArray<16, UInt32>, prefix: UInt32?, _ bytes: RawSpan
    ) -> DigestWords {
        var inner = Self()
        inner.update(InlineArray<16, UInt32> { index in block[index] ^ 0x3636_3636 })
        if let prefix { inner.update([prefix.bigEndian] as InlineArray<1, UInt32>) }
        inner.update(bytes)
        let innerWords = inner.finalizedWords()

        var outer = Self()
        outer.update(InlineArray<16, UInt32> { index in block[index] ^ 0x5C5C_5C5C })
        let networkOrder = DigestWords { index in innerWords[index].bigEndian }
        unsafe withUnsafeBytes(of: networkOrder) { words in
            unsafe outer.update(bufferPointer: UnsafeRawBufferPointer(rebasing: words[..<Self.Digest.byteCount]))
        }
        return outer.finalizedWords()
    }
}

extension String {
    /// Calls `body` with the UTF-8 of this string.
    func withUTF8Bytes<Result>(_ body: (RawSpan) -> Result) -> Result {
        let utf8 = utf8Span
        return unsafe body(utf8.span.bytes)
    }
}
