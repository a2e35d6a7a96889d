// One function for each format of a value; ``Attribute`` has the layouts. None fails: a message that does not fit says
// so when it is finished.

extension MessageWriter {
    /// An attribute without a value: DONT-FRAGMENT.
    public mutating func append(_ type: AttributeType) {
        _ = reserve(type, byteCount: 0)
    }

    /// DATA, NONCE, USERNAME as they came.
    public mutating func append(_ type: AttributeType, bytes: RawSpan) {
        guard let offset = reserve(type, byteCount: bytes.byteCount) else { return }
        arena.copy(bytes, to: offset)
    }

    /// REALM, NONCE, SOFTWARE, USERNAME, ALTERNATE-DOMAIN: UTF-8.
    public mutating func append(_ type: AttributeType, text: String) {
        let utf8 = text.utf8Span
        append(type, bytes: unsafe utf8.span.bytes)
    }

    /// LIFETIME.
    public mutating func append(_ type: AttributeType, uint32: UInt32) {
        guard let offset = reserve(type, byteCount: 4) else { return }
        arena.store(uint32, at: offset)
    }

    /// RESERVATION-TOKEN.
    public mutating func append(_ type: AttributeType, uint64: UInt64) {
        guard let offset = reserve(type, byteCount: 8) else { return }
        arena.store(uint64, at: offset)
    }

    /// CHANNEL-NUMBER.
    public mutating func appendChannelNumber(_ number: UInt16) {
        append(.channelNumber, uint32: UInt32(number) << 16)
    }

    /// REQUESTED-ADDRESS-FAMILY, ADDITIONAL-ADDRESS-FAMILY.
    public mutating func append(_ type: AttributeType, family: AddressFamily) {
        append(type, uint32: UInt32(family.rawValue) << 24)
    }

    /// REQUESTED-TRANSPORT: 17 for UDP.
    public mutating func appendRequestedTransport(_ protocolNumber: UInt8) {
        append(.requestedTransport, uint32: UInt32(protocolNumber) << 24)
    }

    /// EVEN-PORT, with its R bit if the next higher port is to be reserved.
    public mutating func appendEvenPort(reservingNext: Bool) {
        guard let offset = reserve(.evenPort, byteCount: 1) else { return }
        arena.store(UInt8(reservingNext ? 0x80 : 0), at: offset)
    }

    /// ICMP.
    public mutating func appendICMP(_ icmp: ICMPAttribute) {
        append(.icmp, uint64: UInt64(icmp.type) << 40 | UInt64(icmp.code) << 32 | UInt64(icmp.data))
    }

    /// USERHASH.
    public mutating func append(_ userHash: UserHash) {
        guard let offset = reserve(.userHash, byteCount: 32) else { return }
        for index in userHash.words.indices { arena.store(userHash.words[index], at: offset + index * 8) }
    }
}

/// Addresses.
extension MessageWriter {
    /// MAPPED-ADDRESS, ALTERNATE-SERVER.
    public mutating func append(_ type: AttributeType, address: TransportAddress) {
        append(type, address, portMask: 0, v4Mask: 0, v6Masks: (0, 0))
    }

    /// XOR-MAPPED-ADDRESS, XOR-PEER-ADDRESS, XOR-RELAYED-ADDRESS.
    public mutating func append(_ type: AttributeType, xorAddress: TransportAddress) {
        append(
            type, xorAddress, portMask: UInt16(truncatingIfNeeded: Message.magicCookie >> 16),
            v4Mask: Message.magicCookie,
            v6Masks: (UInt64(Message.magicCookie) << 32 | UInt64(transactionID.high), transactionID.low))
    }

    mutating func append(
        _ type: AttributeType, _ address: TransportAddress, portMask: UInt16, v4Mask: UInt32, v6Masks: (UInt64, UInt64)
    ) {
        let byteCount = address.family == .ipv4 ? 8 : 20
        guard let offset = reserve(type, byteCount: byteCount) else { return }
        arena.store(UInt32(address.family.rawValue) << 16 | UInt32(address.port ^ portMask), at: offset)
        switch address.family {
        case .ipv4:
            arena.store(UInt32(truncatingIfNeeded: address.ip.low) ^ v4Mask, at: offset + 4)
        case .ipv6:
            arena.store(address.ip.high ^ v6Masks.0, at: offset + 4)
            arena.store(address.ip.low ^ v6Masks.1, at: offset + 12)
        }
    }
}

/// Errors and lists.
extension MessageWriter {
    /// ERROR-CODE. The reason phrase is for people; without it the answer is smaller.
    public mutating func appendErrorCode(_ error: ErrorCode, withReason: Bool = true) {
        appendError(.errorCode, familyByte: 0, error, withReason: withReason)
    }

    /// ADDRESS-ERROR-CODE.
    public mutating func appendAddressErrorCode(_ family: AddressFamily, _ error: ErrorCode, withReason: Bool = true) {
        appendError(.addressErrorCode, familyByte: family.rawValue, error, withReason: withReason)
    }

    private mutating func appendError(
        _ type: AttributeType, familyByte: UInt8, _ error: ErrorCode, withReason: Bool
    ) {
        let reason = withReason ? error.reason : ""
        guard let offset = reserve(type, byteCount: 4 + reason.utf8.count) else { return }
        let (hundreds, rest) = (UInt32(error.code / 100), UInt32(error.code % 100))
        arena.store(UInt32(familyByte) << 24 | hundreds << 8 | rest, at: offset)
        let utf8 = reason.utf8Span
        arena.copy(unsafe utf8.span.bytes, to: offset + 4)
    }

    /// UNKNOWN-ATTRIBUTES.
    public mutating func appendUnknownAttributes(_ types: [AttributeType]) {
        guard let offset = reserve(.unknownAttributes, byteCount: types.count * 2) else { return }
        for (index, type) in types.enumerated() { arena.store(type.rawValue, at: offset + index * 2) }
    }

    /// PASSWORD-ALGORITHMS, the most wanted first.
    public mutating func appendPasswordAlgorithms(_ algorithms: [PasswordAlgorithm]) {
        guard let offset = reserve(.passwordAlgorithms, byteCount: algorithms.count * 4) else { return }
        for (index, algorithm) in algorithms.enumerated() {
            arena.store(UInt32(algorithm.rawValue) << 16, at: offset + index * 4)
        }
    }

    /// PASSWORD-ALGORITHM.
    public mutating func appendPasswordAlgorithm(_ algorithm: PasswordAlgorithm) {
        append(.passwordAlgorithm, uint32: UInt32(algorithm.rawValue) << 16)
    }
}
