/// A STUN message over borrowed bytes, checked once (RFC 8489 section 5): nothing is copied, nothing allocated.
///
///      0                   1                   2                   3
///      0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
///     +---+---------------------------+-------------------------------+
///     |0 0|     STUN Message Type     |         Message Length        |
///     +---+---------------------------+-------------------------------+
///     |                    Magic Cookie 0x2112A442                    |
///     +---------------------------------------------------------------+
///     |                     Transaction ID (96 bits)                  |
///     +---------------------------------------------------------------+
@frozen
public struct Message: ~Escapable {
    /// The whole message, header included.
    public let bytes: RawSpan
    public let type: MessageType
    /// Whether an attribute must be understood and neither RFC 8489 nor RFC 8656 defines it.
    public let hasUnknownRequiredAttributes: Bool
    /// Where the attributes that count are; all offsets are of attribute headers, 0 when absent.
    @usableFromInline let integrityOffset: UInt32
    @usableFromInline let integritySHA256Offset: UInt32
    @usableFromInline let fingerprintOffset: UInt32

    @inlinable public static var headerByteCount: Int { 20 }
    @inlinable public static var magicCookie: UInt32 { 0x2112_A442 }

    /// Whether this can be a STUN message: 20 bytes at least, two leading zero bits, the magic cookie.
    @inlinable
    public static func looksLikeSTUN(_ bytes: RawSpan) -> Bool {
        bytes.byteCount >= headerByteCount && bytes.byte(at: 0) & 0xC0 == 0 && bytes.uint32(at: 4) == magicCookie
    }

    /// Whether a message that ``looksLikeSTUN(_:)`` is a request of this method, by its first two bytes.
    @inlinable
    public static func isRequest(_ bytes: RawSpan, of method: Method) -> Bool {
        bytes.uint16(at: 0) == MessageType(.request, method).rawValue
    }

    /// A view of `bytes`, which must hold one message and nothing else.
    ///
    /// Checks the header and that every attribute, with its padding, ends inside the message; values are checked
    /// when they are read.
    @_lifetime(copy bytes)
    public init(parsing bytes: RawSpan) throws(ParseError) {
        guard bytes.byteCount >= Message.headerByteCount else { throw .truncated }
        guard let type = MessageType(rawValue: bytes.uint16(at: 0)) else { throw .notSTUN }
        guard bytes.uint32(at: 4) == Message.magicCookie else { throw .badMagicCookie }
        let length = Int(bytes.uint16(at: 2))
        guard length % 4 == 0, length == bytes.byteCount - Message.headerByteCount else { throw .badLength }
        let survey = try AttributeSurvey(of: bytes)

        self.bytes = bytes
        self.type = type
        hasUnknownRequiredAttributes = survey.hasUnknownRequired
        integrityOffset = survey.integrityOffset
        integritySHA256Offset = survey.integritySHA256Offset
        fingerprintOffset = survey.fingerprintOffset
    }

    @inlinable public var messageClass: MessageClass { type.messageClass }
    @inlinable public var method: Method { type.method }

    @inlinable
    public var transactionID: TransactionID {
        TransactionID(high: bytes.uint32(at: 8), low: bytes.uint64(at: 12))
    }

    /// The attributes that count, in order. Passed over is what RFC 8489 says to ignore: all but
    /// MESSAGE-INTEGRITY-SHA256 and FINGERPRINT after MESSAGE-INTEGRITY (section 14.5), all but FINGERPRINT after
    /// MESSAGE-INTEGRITY-SHA256 (14.6), all after FINGERPRINT (14.7).
    @inlinable
    public var attributes: AttributeIterator {
        @_lifetime(copy self)
        get { AttributeIterator(bytes) }
    }

    /// The first attribute of this type among ``attributes``: of several, RFC 8489 section 14 counts the first.
    @inlinable @_lifetime(copy self)
    public func first(_ type: AttributeType) -> Attribute? {
        var attributes = attributes
        while let attribute = attributes.next() {
            if attribute.type == type { return attribute }
        }
        return nil
    }

    /// The types among ``attributes`` that must be understood and are defined by neither RFC, each once, in order:
    /// what UNKNOWN-ATTRIBUTES lists. At most `limit`.
    public func unknownRequiredAttributes(limit: Int = 32) -> [AttributeType] {
        var unknown: [AttributeType] = []
        guard hasUnknownRequiredAttributes else { return unknown }
        var attributes = attributes
        while unknown.count < limit, let attribute = attributes.next() {
            let type = attribute.type
            if type.isComprehensionRequired, !type.isKnown, !unknown.contains(type) { unknown.append(type) }
        }
        return unknown
    }
}

/// What one walk over the attributes of a message finds out.
struct AttributeSurvey {
    private(set) var integrityOffset: UInt32 = 0
    private(set) var integritySHA256Offset: UInt32 = 0
    private(set) var fingerprintOffset: UInt32 = 0
    private(set) var hasUnknownRequired = false

    /// Walks over all of the attributes of `bytes`, a message whose length is right.
    init(of bytes: RawSpan) throws(ParseError) {
        var offset = Message.headerByteCount
        var visibility = AttributeVisibility.all
        while offset < bytes.byteCount {
            // The message's length is a multiple of four, so a header that has begun is whole.
            let type = AttributeType(rawValue: bytes.uint16(at: offset))
            let paddedByteCount = (Int(bytes.uint16(at: offset + 2)) + 3) & ~3
            guard paddedByteCount <= bytes.byteCount - offset - 4 else { throw .badAttributeLength }
            if visibility.admit(type) { note(type, at: UInt32(truncatingIfNeeded: offset)) }
            offset += 4 + paddedByteCount
        }
    }

    private mutating func note(_ type: AttributeType, at offset: UInt32) {
        switch type {
        case .messageIntegrity: integrityOffset = offset
        case .messageIntegritySHA256: integritySHA256Offset = offset
        case .fingerprint: fingerprintOffset = offset
        default: hasUnknownRequired = hasUnknownRequired || type.isComprehensionRequired && !type.isKnown
        }
    }
}
