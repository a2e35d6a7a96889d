/// One attribute of a message: type, length, value, padding to four bytes (RFC 8489 section 14).
@frozen
public struct Attribute: ~Escapable {
    public let type: AttributeType
    /// The value, without its padding.
    public let value: RawSpan
    /// Where the value begins, in bytes from the start of the message.
    public let valueOffset: Int

    @inlinable @_lifetime(copy value)
    init(_ type: AttributeType, value: RawSpan, valueOffset: Int) {
        self.type = type
        self.value = value
        self.valueOffset = valueOffset
    }
}

/// Walks over the attributes of a checked message that count; see ``Message/attributes``.
@frozen
public struct AttributeIterator: ~Escapable {
    @usableFromInline let bytes: RawSpan
    @usableFromInline var offset: Int
    @usableFromInline var visibility: AttributeVisibility

    /// `bytes` must have passed ``Message/init(parsing:)``.
    @inlinable @_lifetime(copy bytes)
    init(_ bytes: RawSpan) {
        self.bytes = bytes
        offset = Message.headerByteCount
        visibility = .all
    }

    @inlinable @_lifetime(copy self) @_lifetime(self: copy self)
    public mutating func next() -> Attribute? {
        while offset < bytes.byteCount {
            let type = AttributeType(rawValue: bytes.uint16(at: offset))
            let byteCount = Int(bytes.uint16(at: offset &+ 2))
            let valueOffset = offset &+ 4
            offset = valueOffset &+ (byteCount &+ 3) & ~3
            guard visibility.admit(type) else { continue }
            let value = bytes.extracting(valueOffset..<valueOffset &+ byteCount)
            return Attribute(type, value: value, valueOffset: valueOffset)
        }
        return nil
    }
}

/// Which attributes still count after those already seen (RFC 8489 sections 14.5 to 14.7).
@frozen @usableFromInline
enum AttributeVisibility: BitwiseCopyable {
    case all
    /// After MESSAGE-INTEGRITY.
    case sha256AndFingerprint
    /// After MESSAGE-INTEGRITY-SHA256.
    case fingerprint
    /// After FINGERPRINT, which is the last.
    case none

    /// Whether an attribute of this type counts; then what follows it may count for less.
    @inlinable
    mutating func admit(_ type: AttributeType) -> Bool {
        switch (self, type) {
        case (.all, .messageIntegrity):
            self = .sha256AndFingerprint
        case (.all, .messageIntegritySHA256), (.sha256AndFingerprint, .messageIntegritySHA256):
            self = .fingerprint
        case (.all, .fingerprint), (.sha256AndFingerprint, .fingerprint), (.fingerprint, .fingerprint):
            self = .none
        case (.all, _):
            break
        default:
            return false
        }
        return true
    }
}
