extension Message {
    /// Which of MESSAGE-INTEGRITY and MESSAGE-INTEGRITY-SHA256 are among ``attributes``.
    public var integrity: IntegrityAttributes {
        var present: IntegrityAttributes = []
        if integrityOffset != 0 { present.insert(.sha1) }
        if integritySHA256Offset != 0 { present.insert(.sha256) }
        return present
    }

    /// Whether the message carries the attribute of this kind and it was made with `key`.
    ///
    /// A MESSAGE-INTEGRITY that has not 20 bytes is not valid; nor is a MESSAGE-INTEGRITY-SHA256 that has not 16,
    /// 20, 24, 28 or 32 (RFC 8489 section 14.6). The codes are compared in constant time.
    public func hasValidIntegrity(_ kind: IntegrityKind, key: borrowing IntegrityKey) -> Bool {
        let offset = Int(kind == .sha1 ? integrityOffset : integritySHA256Offset)
        guard offset != 0 else { return false }
        let valueByteCount = Int(bytes.uint16(at: offset + 2))
        guard kind.allows(byteCount: valueByteCount) else { return false }
        let code = key.authenticationCode(kind, ofMessage: bytes, upTo: offset, valueByteCount: valueByteCount)
        return code.matches(bytes.extracting(offset + 4..<offset + 4 + valueByteCount))
    }

    /// Whether FINGERPRINT is right (RFC 8489 section 14.7): four bytes, the last of the message, the CRC-32 of all
    /// before it, XORed with 0x5354554E. Nil when there is none.
    public func hasValidFingerprint() -> Bool? {
        guard fingerprintOffset != 0 else { return nil }
        let offset = Int(fingerprintOffset)
        guard bytes.uint16(at: offset + 2) == 4, offset + 8 == bytes.byteCount else { return false }
        return bytes.uint32(at: offset + 4) == CRC32.checksum(bytes.extracting(0..<offset)) ^ CRC32.fingerprintMask
    }
}
