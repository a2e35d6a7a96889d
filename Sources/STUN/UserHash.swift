/// A USERHASH, RFC 8489 section 14.4: SHA-256 of username, ":", realm. 32 bytes, as four words in host order.
@frozen
public struct UserHash: Sendable, Hashable, BitwiseCopyable {
    public let words: InlineArray<4, UInt64>

    @inlinable
    public init(_ words: InlineArray<4, UInt64>) { self.words = words }

    @inlinable
    public static func == (left: UserHash, right: UserHash) -> Bool {
        (left.words[0] ^ right.words[0]) | (left.words[1] ^ right.words[1])
            | (left.words[2] ^ right.words[2]) | (left.words[3] ^ right.words[3]) == 0
    }

    @inlinable
    public func hash(into hasher: inout Hasher) {
        for index in words.indices { hasher.combine(words[index]) }
    }
}
