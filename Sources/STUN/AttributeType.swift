/// The type of a STUN attribute, RFC 8489 section 14: 0x0000 to 0x7FFF must be understood by whoever processes the
/// message, 0x8000 to 0xFFFF may be passed over.
@frozen
public struct AttributeType: RawRepresentable, Sendable, Hashable, BitwiseCopyable {
    public let rawValue: UInt16

    @inlinable
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    @inlinable
    public var isComprehensionRequired: Bool { rawValue < 0x8000 }

    /// Whether RFC 8489 or RFC 8656 defines this type.
    @inlinable
    public var isKnown: Bool {
        switch rawValue {
        case 0x0001, 0x0006, 0x0008...0x000A, 0x0014, 0x0015, 0x001C...0x001E, 0x0020: true
        case 0x8002, 0x8003, 0x8022, 0x8023, 0x8028: true
        case 0x000C, 0x000D, 0x0012, 0x0013, 0x0016...0x001A, 0x0022, 0x8000, 0x8001, 0x8004: true
        default: false
        }
    }
}

/// RFC 8489 section 18.3.
extension AttributeType {
    @inlinable public static var mappedAddress: AttributeType { AttributeType(rawValue: 0x0001) }
    @inlinable public static var username: AttributeType { AttributeType(rawValue: 0x0006) }
    @inlinable public static var messageIntegrity: AttributeType { AttributeType(rawValue: 0x0008) }
    @inlinable public static var errorCode: AttributeType { AttributeType(rawValue: 0x0009) }
    @inlinable public static var unknownAttributes: AttributeType { AttributeType(rawValue: 0x000A) }
    @inlinable public static var realm: AttributeType { AttributeType(rawValue: 0x0014) }
    @inlinable public static var nonce: AttributeType { AttributeType(rawValue: 0x0015) }
    @inlinable public static var messageIntegritySHA256: AttributeType { AttributeType(rawValue: 0x001C) }
    @inlinable public static var passwordAlgorithm: AttributeType { AttributeType(rawValue: 0x001D) }
    @inlinable public static var userHash: AttributeType { AttributeType(rawValue: 0x001E) }
    @inlinable public static var xorMappedAddress: AttributeType { AttributeType(rawValue: 0x0020) }

    @inlinable public static var passwordAlgorithms: AttributeType { AttributeType(rawValue: 0x8002) }
    @inlinable public static var alternateDomain: AttributeType { AttributeType(rawValue: 0x8003) }
    @inlinable public static var software: AttributeType { AttributeType(rawValue: 0x8022) }
    @inlinable public static var alternateServer: AttributeType { AttributeType(rawValue: 0x8023) }
    @inlinable public static var fingerprint: AttributeType { AttributeType(rawValue: 0x8028) }
}

/// RFC 8656 section 18.
extension AttributeType {
    @inlinable public static var channelNumber: AttributeType { AttributeType(rawValue: 0x000C) }
    @inlinable public static var lifetime: AttributeType { AttributeType(rawValue: 0x000D) }
    @inlinable public static var xorPeerAddress: AttributeType { AttributeType(rawValue: 0x0012) }
    @inlinable public static var data: AttributeType { AttributeType(rawValue: 0x0013) }
    @inlinable public static var xorRelayedAddress: AttributeType { AttributeType(rawValue: 0x0016) }
    @inlinable public static var requestedAddressFamily: AttributeType { AttributeType(rawValue: 0x0017) }
    @inlinable public static var evenPort: AttributeType { AttributeType(rawValue: 0x0018) }
    @inlinable public static var requestedTransport: AttributeType { AttributeType(rawValue: 0x0019) }
    @inlinable public static var dontFragment: AttributeType { AttributeType(rawValue: 0x001A) }
    @inlinable public static var reservationToken: AttributeType { AttributeType(rawValue: 0x0022) }

    @inlinable public static var additionalAddressFamily: AttributeType { AttributeType(rawValue: 0x8000) }
    @inlinable public static var addressErrorCode: AttributeType { AttributeType(rawValue: 0x8001) }
    @inlinable public static var icmp: AttributeType { AttributeType(rawValue: 0x8004) }
}
