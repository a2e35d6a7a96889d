import STUN

/// Reads all that can be read of any bytes, writes it again, and says what contradicts itself. The property tests and
/// the fuzzers share it.
struct Exercise: ~Copyable {
    private var writer = MessageWriter(capacityBytes: 1 << 17)
    private let key = IntegrityKey.longTerm(.md5, username: "user", realm: "realm", password: "password")
    /// How many of the inputs were messages, or ChannelData.
    private(set) var acceptedCount = 0

    /// What is wrong with how `bytes` are read as a STUN message; nil when nothing is.
    mutating func message(_ bytes: RawSpan) -> String? {
        guard let message = try? Message(parsing: bytes) else { return nil }
        acceptedCount += 1
        guard Message.looksLikeSTUN(bytes) else { return "parsed, but does not look like STUN" }
        guard MessageType(message.messageClass, message.method) == message.type else { return "type" }
        for kind in IntegrityKind.allCases where message.hasValidIntegrity(kind, key: key) {
            guard message.first(kind.attributeType) != nil else { return "valid integrity that is absent" }
        }
        guard (message.hasValidFingerprint() == nil) == (message.first(.fingerprint) == nil) else {
            return "fingerprint"
        }
        guard message.hasUnknownRequiredAttributes == !message.unknownRequiredAttributes().isEmpty else {
            return "unknown attributes"
        }
        return attributes(message) ?? rewritten(message)
    }

    /// What is wrong with how `bytes` are read as ChannelData; nil when nothing is.
    mutating func channelData(_ bytes: RawSpan) -> String? {
        guard let header = ChannelData.parse(bytes) else { return nil }
        acceptedCount += 1
        let payloadEnd = ChannelData.headerByteCount + Int(header.payloadByteCount)
        guard payloadEnd <= bytes.byteCount else { return "payload runs over the end" }
        guard bytes.uint16(at: 0) == header.channel, ChannelNumber(header.channel, in: .rfc5766) != nil else {
            return "channel number"
        }
        return Message.looksLikeSTUN(bytes) ? "is STUN too" : nil
    }

    private func attributes(_ message: Message) -> String? {
        var end = Message.headerByteCount
        var attributes = message.attributes
        while let attribute = attributes.next() {
            guard attribute.valueOffset >= end + 4 else { return "attributes overlap" }
            end = attribute.valueOffset + attribute.value.byteCount
            guard end <= message.bytes.byteCount else { return "value runs over the end" }
            guard let first = message.first(attribute.type), first.valueOffset <= attribute.valueOffset else {
                return "first attribute of a type"
            }
            if let complaint = values(attribute, message.transactionID) { return complaint }
        }
        return nil
    }

    /// Every format is tried on every value: whichever type it has, reading must not trap.
    private func values(_ attribute: Attribute, _ id: TransactionID) -> String? {
        let byteCount = attribute.value.byteCount
        let words = [attribute.uint32 != nil, attribute.channelNumber != nil, attribute.addressFamilyByte != nil]
        guard words.allSatisfy({ $0 == (byteCount == 4) }), (attribute.requestedTransport != nil) == (byteCount == 4)
        else { return "a value of four bytes" }
        guard (attribute.evenPort != nil) == (byteCount == 1) else { return "EVEN-PORT" }
        guard (attribute.reservationToken != nil) == (byteCount == 8) else { return "RESERVATION-TOKEN" }
        guard (attribute.icmp != nil) == (byteCount == 8) else { return "ICMP" }
        guard (attribute.userHash != nil) == (byteCount == 32) else { return "USERHASH" }
        guard (attribute.address == nil) == (attribute.xorAddress(id) == nil) else { return "address" }
        if let code = attribute.errorCode, !(300...699).contains(code) { return "error code" }
        guard (attribute.errorReason?.byteCount ?? -4) == byteCount - 4 || byteCount < 4 else { return "reason" }
        guard (attribute.addressErrorFamilyByte != nil) == (byteCount >= 4) else { return "ADDRESS-ERROR-CODE" }
        guard (attribute.unknownAttributes?.count ?? byteCount / 2) == byteCount / 2 else { return "types" }
        if var algorithms = attribute.passwordAlgorithms {
            var seenByteCount = 0
            while let algorithm = algorithms.next() { seenByteCount += 4 + algorithm.parameters.byteCount }
            guard seenByteCount <= byteCount else { return "password algorithms" }
        }
        return nil
    }

    /// Writes the attributes that count again: the copy must parse and say the same.
    private mutating func rewritten(_ message: Message) -> String? {
        writer.removeAll()
        writer.begin(message.messageClass, message.method, message.transactionID)
        var attributes = message.attributes
        while let attribute = attributes.next() {
            if attribute.type == .xorPeerAddress, let address = attribute.xorAddress(message.transactionID) {
                writer.append(.xorPeerAddress, xorAddress: address)
            } else {
                writer.append(attribute.type, bytes: attribute.value)
            }
        }
        guard let range = writer.finish() else { return "does not fit" }
        guard let copy = try? Message(parsing: writer.bytes(range)) else { return "the copy does not parse" }
        guard copy.type == message.type, copy.transactionID == message.transactionID,
            copy.integrity == message.integrity
        else { return "the copy has another header" }
        var originals = message.attributes
        var copies = copy.attributes
        while let original = originals.next() {
            guard let copied = copies.next(), copied.type == original.type else { return "the copy lacks an attribute" }
            if original.type == .xorPeerAddress, let address = original.xorAddress(message.transactionID) {
                guard copied.xorAddress(copy.transactionID) == address else { return "the copy has another address" }
            } else if !copied.value.hasSameBytes(as: original.value) {
                return "the copy has another value"
            }
        }
        return copies.next() == nil ? nil : "the copy has one attribute more"
    }
}
