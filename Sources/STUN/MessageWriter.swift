/// Writes STUN messages, one after another, into memory that is allocated once.
///
/// A message is begun, gets its attributes in order, and is finished, which yields where its bytes are:
///
///     writer.begin(.successResponse, .binding, request.transactionID)
///     writer.append(.xorMappedAddress, xorAddress: client)
///     let range = writer.finish()
///
/// A message that does not fit, or that is begun anew before it is finished, leaves nothing behind. Padding is zero.
public struct MessageWriter: ~Copyable, Sendable {
    var arena: ByteArena
    /// Where the finished messages end and the one being written begins.
    private var start = 0
    /// Where the next attribute goes.
    private var cursor = 0
    private(set) var transactionID = TransactionID(high: 0, low: 0)
    /// An attribute did not fit the arena, or 16 bits could not say its length or the message's.
    private var overflowed = false
    private var isOpen = false

    /// A writer with room for `capacityBytes` of messages between two calls of ``removeAll()``.
    public init(capacityBytes: Int) {
        precondition(capacityBytes >= 0, "A capacity is not negative")
        arena = ByteArena(byteCount: capacityBytes)
    }

    /// How many bytes the finished messages have.
    public var byteCount: Int { start }

    /// Forgets all messages; the memory stays.
    public mutating func removeAll() {
        start = 0
        isOpen = false
    }

    /// The bytes of a range that ``finish(fingerprint:)`` gave and that has not been removed since.
    @_lifetime(borrow self)
    public borrowing func bytes(_ range: Range<Int>) -> RawSpan {
        precondition(range.upperBound <= start, "No finished message is there")
        return arena.bytes(range)
    }

    /// Begins a message.
    public mutating func begin(_ messageClass: MessageClass, _ method: Method, _ id: TransactionID) {
        transactionID = id
        isOpen = true
        overflowed = arena.byteCount - start < Message.headerByteCount
        cursor = start + Message.headerByteCount
        guard !overflowed else { return }
        arena.store(UInt32(MessageType(messageClass, method).rawValue) << 16, at: start)
        arena.store(Message.magicCookie, at: start + 4)
        arena.store(id.high, at: start + 8)
        arena.store(id.low, at: start + 12)
    }

    /// Ends a message that is not signed, with a FINGERPRINT if asked for. Where it is, or nil if it did not fit.
    public mutating func finish(fingerprint: Bool = false) -> Range<Int>? {
        precondition(isOpen, "No message was begun")
        if fingerprint { appendFingerprint() }
        isOpen = false
        guard !overflowed else { return nil }
        arena.store(messageLength, at: start + 2)
        let range = start..<cursor
        start = cursor
        return range
    }

    /// Ends a message with MESSAGE-INTEGRITY or MESSAGE-INTEGRITY-SHA256, and a FINGERPRINT if asked for. Where it
    /// is, or nil if it did not fit.
    public mutating func finish(
        signedWith key: borrowing IntegrityKey, _ kind: IntegrityKind, fingerprint: Bool = false
    ) -> Range<Int>? {
        appendIntegrity(kind, key: key, byteCount: kind.byteCount)
        return finish(fingerprint: fingerprint)
    }

    /// Appends the attribute of `kind` over all that is written so far. A message can have both: the SHA-1 one
    /// first. `byteCount` may truncate the SHA-256 one to 16, 20, 24 or 28 bytes.
    public mutating func appendIntegrity(_ kind: IntegrityKind, key: borrowing IntegrityKey, byteCount: Int) {
        precondition(kind.allows(byteCount: byteCount), "No size of this code")
        let end = cursor
        guard let offset = reserve(kind.attributeType, byteCount: byteCount) else { return }
        let code = key.authenticationCode(
            kind, ofMessage: arena.bytes(start..<cursor), upTo: end - start, valueByteCount: byteCount)
        for index in 0..<byteCount / 4 { arena.store(code.words[index], at: offset + index * 4) }
    }

    private mutating func appendFingerprint() {
        let end = cursor
        guard let offset = reserve(.fingerprint, byteCount: 4) else { return }
        // The CRC covers the length field, which counts the FINGERPRINT already.
        arena.store(messageLength, at: start + 2)
        arena.store(CRC32.checksum(arena.bytes(start..<end)) ^ CRC32.fingerprintMask, at: offset)
    }

    /// What the length field of the message says if it ends at the cursor.
    private var messageLength: UInt16 { UInt16(cursor - start - Message.headerByteCount) }

    /// Writes the header of an attribute and zeros for its padding. Where its value goes, or nil if it does not fit.
    mutating func reserve(_ type: AttributeType, byteCount: Int) -> Int? {
        precondition(isOpen, "No message was begun")
        let paddedByteCount = (byteCount &+ 3) & ~3
        let end = cursor &+ 4 &+ paddedByteCount
        guard !overflowed, byteCount <= 0xFFFF, end <= arena.byteCount,
            end &- start &- Message.headerByteCount <= 0xFFFF
        else {
            overflowed = true
            return nil
        }
        arena.store(UInt32(type.rawValue) << 16 | UInt32(byteCount), at: cursor)
        // The value overwrites all of its last word but the padding.
        if paddedByteCount != byteCount { arena.store(UInt32(0), at: end &- 4) }
        let offset = cursor &+ 4
        cursor = end
        return offset
    }
}

extension MessageWriter {
    /// Puts bytes that are no message of ours among the finished ones: a payload to relay, an answer to repeat.
    /// Where they are, or nil if they do not fit.
    public mutating func appendDatagram(_ bytes: RawSpan) -> Range<Int>? {
        guard bytes.byteCount <= arena.byteCount - start else { return nil }
        arena.copy(bytes, to: start)
        let range = start..<start + bytes.byteCount
        start = range.upperBound
        isOpen = false
        return range
    }
}
