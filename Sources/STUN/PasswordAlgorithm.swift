/// The password algorithms of RFC 8489 section 18.5: how a long-term key is made.
@frozen
public enum PasswordAlgorithm: UInt16, Sendable, Hashable, CaseIterable {
    case md5 = 0x0001
    case sha256 = 0x0002
}

/// The two attributes that sign a message.
@frozen
public enum IntegrityKind: Sendable, Hashable, CaseIterable {
    /// MESSAGE-INTEGRITY: HMAC-SHA1, 20 bytes (RFC 8489 section 14.5).
    case sha1
    /// MESSAGE-INTEGRITY-SHA256: HMAC-SHA256, 32 bytes or its first 16, 20, 24 or 28 (RFC 8489 section 14.6).
    case sha256

    @inlinable
    public var attributeType: AttributeType {
        switch self {
        case .sha1: .messageIntegrity
        case .sha256: .messageIntegritySHA256
        }
    }

    /// The size of the whole code, in bytes.
    @inlinable
    public var byteCount: Int {
        switch self {
        case .sha1: 20
        case .sha256: 32
        }
    }

    /// Whether a value of this size may be a code of this kind.
    @inlinable
    public func allows(byteCount: Int) -> Bool {
        switch self {
        case .sha1: byteCount == 20
        case .sha256: (16...32).contains(byteCount) && byteCount % 4 == 0
        }
    }
}

/// Which of the two a message carries.
@frozen
public struct IntegrityAttributes: OptionSet, Sendable, Hashable, BitwiseCopyable {
    public let rawValue: UInt8

    @inlinable
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    @inlinable public static var sha1: IntegrityAttributes { IntegrityAttributes(rawValue: 1) }
    @inlinable public static var sha256: IntegrityAttributes { IntegrityAttributes(rawValue: 2) }
}
