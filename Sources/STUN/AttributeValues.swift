// The values of attributes by their formats. Each is nil when the value does not have the format's size or range;
// bits that the RFCs reserve are ignored, as they ask.

extension Attribute {
    /// LIFETIME, and any other value of one 32-bit number (RFC 8656 section 18.2).
    @inlinable
    public var uint32: UInt32? {
        value.byteCount == 4 ? value.uint32(at: 0) : nil
    }

    /// CHANNEL-NUMBER (RFC 8656 section 18.1): 16 bits, then 16 reserved ones. The range is not checked.
    @inlinable
    public var channelNumber: UInt16? {
        value.byteCount == 4 ? value.uint16(at: 0) : nil
    }

    /// REQUESTED-ADDRESS-FAMILY and ADDITIONAL-ADDRESS-FAMILY (RFC 8656 sections 18.6 and 18.11): 8 bits, then 24
    /// reserved ones. It is raw, because an unknown family is an error of its own (440).
    @inlinable
    public var addressFamilyByte: UInt8? {
        value.byteCount == 4 ? value.byte(at: 0) : nil
    }

    /// REQUESTED-TRANSPORT (RFC 8656 section 18.8): an IP protocol number, 17 for UDP, then 24 reserved bits.
    @inlinable
    public var requestedTransport: UInt8? {
        value.byteCount == 4 ? value.byte(at: 0) : nil
    }

    /// EVEN-PORT (RFC 8656 section 18.7): one byte. Its first bit, R, asks to reserve the next higher port too.
    @inlinable
    public var evenPort: Bool? {
        value.byteCount == 1 ? value.byte(at: 0) & 0x80 != 0 : nil
    }

    /// RESERVATION-TOKEN (RFC 8656 section 18.10): 64 bits whose meaning is the server's.
    @inlinable
    public var reservationToken: UInt64? {
        value.byteCount == 8 ? value.uint64(at: 0) : nil
    }

    /// ICMP (RFC 8656 section 18.13): 16 reserved bits, type, code, 32 bits of error data.
    ///
    /// The RFC's figure draws type and code 7 and 9 columns wide. They are taken as a byte each, which is what ICMP
    /// has and what other implementations and packet analysers read.
    @inlinable
    public var icmp: ICMPAttribute? {
        guard value.byteCount == 8 else { return nil }
        return ICMPAttribute(type: value.byte(at: 2), code: value.byte(at: 3), data: value.uint32(at: 4))
    }

    /// USERHASH (RFC 8489 section 14.4): 32 bytes.
    @inlinable
    public var userHash: UserHash? {
        guard value.byteCount == 32 else { return nil }
        return UserHash([value.uint64(at: 0), value.uint64(at: 8), value.uint64(at: 16), value.uint64(at: 24)])
    }
}

/// Addresses, RFC 8489 sections 14.1 and 14.2: a reserved byte, the family, the port, 4 or 16 bytes of address.
extension Attribute {
    /// MAPPED-ADDRESS, ALTERNATE-SERVER.
    @inlinable
    public var address: TransportAddress? {
        decodeAddress(portMask: 0, v4Mask: 0, v6Masks: (0, 0))
    }

    /// XOR-MAPPED-ADDRESS, XOR-PEER-ADDRESS, XOR-RELAYED-ADDRESS: the port is XORed with the upper half of the magic
    /// cookie, the address with the cookie and the transaction ID.
    @inlinable
    public func xorAddress(_ transactionID: TransactionID) -> TransportAddress? {
        decodeAddress(
            portMask: UInt16(truncatingIfNeeded: Message.magicCookie >> 16), v4Mask: Message.magicCookie,
            v6Masks: (UInt64(Message.magicCookie) << 32 | UInt64(transactionID.high), transactionID.low))
    }

    @inlinable
    func decodeAddress(portMask: UInt16, v4Mask: UInt32, v6Masks: (UInt64, UInt64)) -> TransportAddress? {
        guard value.byteCount >= 4 else { return nil }
        let port = value.uint16(at: 2) ^ portMask
        switch (AddressFamily(rawValue: value.byte(at: 1)), value.byteCount) {
        case (.ipv4, 8):
            return TransportAddress(IPAddress(v4: value.uint32(at: 4) ^ v4Mask), port: port)
        case (.ipv6, 20):
            let high = value.uint64(at: 4) ^ v6Masks.0
            let low = value.uint64(at: 12) ^ v6Masks.1
            return TransportAddress(IPAddress(v6High: high, low: low), port: port)
        default:
            return nil
        }
    }
}

/// Errors: 21 reserved bits (in ADDRESS-ERROR-CODE the first eight are the family), 3 bits for the hundreds, 8 bits
/// for the rest of the code (0 to 99), the reason phrase.
extension Attribute {
    /// ERROR-CODE (RFC 8489 section 14.8) and the code of ADDRESS-ERROR-CODE (RFC 8656 section 18.12): 300 to 699.
    @inlinable
    public var errorCode: UInt16? {
        guard value.byteCount >= 4 else { return nil }
        let hundreds = UInt16(value.byte(at: 2) & 0b111)
        let rest = UInt16(value.byte(at: 3))
        guard (3...6).contains(hundreds), rest < 100 else { return nil }
        return hundreds * 100 + rest
    }

    /// The reason phrase of ERROR-CODE or ADDRESS-ERROR-CODE, UTF-8 that is not checked.
    @inlinable
    public var errorReason: RawSpan? {
        @_lifetime(copy self)
        get { value.byteCount >= 4 ? value.extracting(4..<value.byteCount) : nil }
    }

    /// The family of ADDRESS-ERROR-CODE, raw.
    @inlinable
    public var addressErrorFamilyByte: UInt8? {
        value.byteCount >= 4 ? value.byte(at: 0) : nil
    }
}

/// Lists.
extension Attribute {
    /// UNKNOWN-ATTRIBUTES (RFC 8489 section 14.13): 16-bit types.
    public var unknownAttributes: [AttributeType]? {
        guard value.byteCount % 2 == 0 else { return nil }
        return stride(from: 0, to: value.byteCount, by: 2).map { AttributeType(rawValue: value.uint16(at: $0)) }
    }

    /// PASSWORD-ALGORITHMS (RFC 8489 section 14.11), in the order of the server's preference; PASSWORD-ALGORITHM
    /// (14.12) is a list of one. Nil when an entry is not whole.
    @inlinable
    public var passwordAlgorithms: PasswordAlgorithmIterator? {
        @_lifetime(copy self)
        get { PasswordAlgorithmIterator(checking: value) }
    }

    /// PASSWORD-ALGORITHM (RFC 8489 section 14.12): the number of the one algorithm, known to us or not. Nil when
    /// the value is not exactly one whole entry.
    @inlinable
    public var passwordAlgorithmNumber: UInt16? {
        guard var entries = passwordAlgorithms, let first = entries.next() else { return nil }
        return entries.next() == nil ? first.number : nil
    }
}

/// One entry of PASSWORD-ALGORITHMS: 16 bits of number, 16 bits of parameter length, the parameters padded to four
/// bytes.
@frozen
public struct PasswordAlgorithmEntry: ~Escapable {
    /// See ``PasswordAlgorithm``; others are possible.
    public let number: UInt16
    /// Empty for the algorithms of RFC 8489.
    public let parameters: RawSpan

    @inlinable @_lifetime(copy parameters)
    init(number: UInt16, parameters: RawSpan) {
        self.number = number
        self.parameters = parameters
    }
}

/// Walks over the entries of a PASSWORD-ALGORITHMS value.
@frozen
public struct PasswordAlgorithmIterator: ~Escapable {
    @usableFromInline let value: RawSpan
    @usableFromInline var offset = 0

    /// Nil unless `value` is nothing but whole entries. The padding of the last one may be absent from the value:
    /// then it is the attribute's own.
    @inlinable @_lifetime(copy value)
    init?(checking value: RawSpan) {
        var end = 0
        while end < value.byteCount {
            guard value.byteCount &- end >= 4 else { return nil }
            let parameterByteCount = Int(value.uint16(at: end &+ 2))
            guard parameterByteCount <= value.byteCount &- end &- 4 else { return nil }
            end = end &+ 4 &+ (parameterByteCount &+ 3) & ~3
        }
        self.value = value
    }

    @inlinable @_lifetime(copy self) @_lifetime(self: copy self)
    public mutating func next() -> PasswordAlgorithmEntry? {
        guard offset < value.byteCount else { return nil }
        let number = value.uint16(at: offset)
        let start = offset &+ 4
        let end = start &+ Int(value.uint16(at: offset &+ 2))
        offset = start &+ (end &- start &+ 3) & ~3
        return PasswordAlgorithmEntry(number: number, parameters: value.extracting(start..<end))
    }
}

/// What the ICMP attribute carries, RFC 8656 section 18.13.
@frozen
public struct ICMPAttribute: Sendable, Hashable, BitwiseCopyable {
    public let type: UInt8
    public let code: UInt8
    /// The next-hop MTU for "fragmentation needed" and "packet too big", else 0.
    public let data: UInt32

    @inlinable
    public init(type: UInt8, code: UInt8, data: UInt32) {
        self.type = type
        self.code = code
        self.data = data
    }
}
