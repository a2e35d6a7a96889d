/// The class of a STUN message, RFC 8489 section 5. Raw values are the two class bits, C1 and C0.
@frozen
public enum MessageClass: UInt8, Sendable, Hashable, CaseIterable {
    case request = 0b00
    case indication = 0b01
    case successResponse = 0b10
    case errorResponse = 0b11
}

/// A STUN method: 12 bits, 0x000 to 0xFFF (RFC 8489 section 18.2, RFC 8656 section 17).
@frozen
public struct Method: RawRepresentable, Sendable, Hashable, BitwiseCopyable {
    public let rawValue: UInt16

    /// The method with this number, which must fit 12 bits.
    @inlinable
    public init(rawValue: UInt16) {
        precondition(rawValue <= 0xFFF, "A STUN method has 12 bits")
        self.rawValue = rawValue
    }

    @inlinable public static var binding: Method { Method(rawValue: 0x001) }
    @inlinable public static var allocate: Method { Method(rawValue: 0x003) }
    @inlinable public static var refresh: Method { Method(rawValue: 0x004) }
    @inlinable public static var send: Method { Method(rawValue: 0x006) }
    @inlinable public static var data: Method { Method(rawValue: 0x007) }
    @inlinable public static var createPermission: Method { Method(rawValue: 0x008) }
    @inlinable public static var channelBind: Method { Method(rawValue: 0x009) }
}

/// The first 16 bits of a STUN message, RFC 8489 section 5: two zero bits, then method and class interleaved.
///
///      13 12 11 10  9  8  7  6  5  4  3  2  1  0
///     M11 M10 M9 M8 M7 C1 M6 M5 M4 C0 M3 M2 M1 M0
@frozen
public struct MessageType: RawRepresentable, Sendable, Hashable, BitwiseCopyable {
    public let rawValue: UInt16

    /// A type from the wire; nothing when one of the two leading bits is set.
    @inlinable
    public init?(rawValue: UInt16) {
        guard rawValue & 0xC000 == 0 else { return nil }
        self.rawValue = rawValue
    }

    @inlinable
    public init(_ messageClass: MessageClass, _ method: Method) {
        let bits = method.rawValue
        let classBits = UInt16(messageClass.rawValue)
        rawValue =
            (bits & 0xF80) << 2 | (classBits & 0b10) << 7
            | (bits & 0x070) << 1 | (classBits & 0b01) << 4
            | bits & 0x00F
    }

    @inlinable
    public var messageClass: MessageClass {
        switch (rawValue & 0x0100, rawValue & 0x0010) {
        case (0, 0): .request
        case (0, _): .indication
        case (_, 0): .successResponse
        default: .errorResponse
        }
    }

    @inlinable
    public var method: Method {
        Method(rawValue: (rawValue & 0x3E00) >> 2 | (rawValue & 0x00E0) >> 1 | rawValue & 0x000F)
    }
}

/// The 96-bit transaction ID of a STUN message, in host order.
@frozen
public struct TransactionID: Sendable, Hashable, BitwiseCopyable {
    /// The first 32 bits on the wire.
    public let high: UInt32
    /// The other 64 bits.
    public let low: UInt64

    @inlinable
    public init(high: UInt32, low: UInt64) {
        self.high = high
        self.low = low
    }
}
