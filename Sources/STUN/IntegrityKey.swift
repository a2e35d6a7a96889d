import Crypto

/// A key for MESSAGE-INTEGRITY and MESSAGE-INTEGRITY-SHA256, RFC 8489 section 9. A value of 64 bytes: nothing to
/// allocate, nothing to count.
///
/// Usernames, realms and passwords are hashed as the bytes that they are. RFC 8489 has both sides run them through
/// the OpaqueString profile of RFC 8265 (no controls, non-ASCII spaces to ASCII, normalisation form C). Whoever
/// brings text from a person should bring it in that form; the username and realm of a message are in it already if
/// the client did its part, and rewriting bytes that are signed would only hide that it did not.
public struct IntegrityKey: Sendable {
    /// The key, padded with zeros to the block of SHA-1 and SHA-256, as words in network order.
    private let block: InlineArray<16, UInt32>

    /// The key of the long-term mechanism (RFC 8489 sections 9.2.2 and 18.5.1): the digest, by `algorithm`, of
    /// username ":" realm ":" password.
    public static func longTerm(
        _ algorithm: PasswordAlgorithm, username: RawSpan, realm: RawSpan, password: RawSpan
    ) -> IntegrityKey {
        let words =
            switch algorithm {
            case .md5: Insecure.MD5.joined(username, realm, password)
            case .sha256: SHA256.joined(username, realm, password)
            }
        return IntegrityKey(digest: words)
    }

    /// The same for text, by its UTF-8.
    public static func longTerm(
        _ algorithm: PasswordAlgorithm, username: String, realm: String, password: String
    ) -> IntegrityKey {
        username.withUTF8Bytes { username in
            realm.withUTF8Bytes { realm in
                password.withUTF8Bytes { password in
                    longTerm(algorithm, username: username, realm: realm, password: password)
                }
            }
        }
    }

    /// The key of the short-term mechanism (RFC 8489 section 9.1.1): the password itself. Nil when it is longer
    /// than 64 bytes.
    public static func shortTerm(password: String) -> IntegrityKey? {
        password.withUTF8Bytes { IntegrityKey(bytes: $0) }
    }

    /// A key of these bytes; nil when there are more than 64.
    public init?(bytes: RawSpan) {
        guard bytes.byteCount <= 64 else { return nil }
        block = InlineArray { index in
            var word: UInt32 = 0
            for offset in index * 4..<index * 4 + 4 {
                word = word << 8 | (offset < bytes.byteCount ? UInt32(bytes.byte(at: offset)) : 0)
            }
            return word.bigEndian
        }
    }

    private init(digest: DigestWords) {
        block = InlineArray { index in index < digest.count ? digest[index].bigEndian : 0 }
    }

    /// The HMAC of `bytes` by the hash function of `kind`.
    public func authenticationCode(_ kind: IntegrityKind, of bytes: RawSpan) -> AuthenticationCode {
        AuthenticationCode(words(kind, prefix: nil, bytes), byteCount: kind.byteCount)
    }

    /// The code of a message up to `end`, where the attribute that will hold the code, of `valueByteCount` bytes,
    /// has its header. The length field is taken to say that the message ends with that attribute, as RFC 8489
    /// sections 14.5 and 14.6 ask.
    func authenticationCode(
        _ kind: IntegrityKind, ofMessage bytes: RawSpan, upTo end: Int, valueByteCount: Int
    ) -> AuthenticationCode {
        let length = UInt32(truncatingIfNeeded: end + 4 + valueByteCount - Message.headerByteCount)
        let prefix = UInt32(bytes.uint16(at: 0)) << 16 | length
        return AuthenticationCode(words(kind, prefix: prefix, bytes.extracting(4..<end)), byteCount: valueByteCount)
    }

    private func words(_ kind: IntegrityKind, prefix: UInt32?, _ bytes: RawSpan) -> DigestWords {
        switch kind {
        case .sha1: Insecure.SHA1.authenticationCode(block, prefix: prefix, bytes)
        case .sha256: SHA256.authenticationCode(block, prefix: prefix, bytes)
        }
    }
}

extension IntegrityKey: Equatable {
    /// Takes the same time whatever the keys are.
    public static func == (left: IntegrityKey, right: IntegrityKey) -> Bool {
        var difference: UInt32 = 0
        for index in left.block.indices { difference |= left.block[index] ^ right.block[index] }
        return difference == 0
    }
}

/// An HMAC, whole or truncated: ``byteCount`` bytes, a multiple of four.
public struct AuthenticationCode: Sendable {
    /// The code in words of host order; what is beyond ``byteCount`` does not belong to it.
    public let words: InlineArray<8, UInt32>
    public let byteCount: Int

    init(_ words: DigestWords, byteCount: Int) {
        self.words = words
        self.byteCount = byteCount
    }

    /// Whether `bytes` are this code. Takes the same time wherever they differ; only their number shows.
    public func matches(_ bytes: RawSpan) -> Bool {
        guard bytes.byteCount == byteCount else { return false }
        var difference: UInt32 = 0
        for index in 0..<byteCount / 4 { difference |= words[index] ^ bytes.uint32(at: index * 4) }
        return difference == 0
    }
}

extension UserHash {
    /// The USERHASH of a user: SHA-256 of username ":" realm (RFC 8489 section 14.4).
    public init(username: RawSpan, realm: RawSpan) {
        let digest = SHA256.joined(username, realm)
        self.init(InlineArray { index in UInt64(digest[index * 2]) << 32 | UInt64(digest[index * 2 + 1]) })
    }

    /// The same for text, by its UTF-8.
    public init(username: String, realm: String) {
        self = username.withUTF8Bytes { username in
            realm.withUTF8Bytes { realm in UserHash(username: username, realm: realm) }
        }
    }
}
