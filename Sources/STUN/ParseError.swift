/// Why a datagram is no STUN message. Such datagrams are dropped (RFC 8489 section 6.3).
@frozen
public enum ParseError: Error, Sendable, Hashable, CaseIterable {
    /// Shorter than the header of 20 bytes.
    case truncated
    /// One of the first two bits is set.
    case notSTUN
    /// Bytes 4 to 7 are not 0x2112A442: an RFC 3489 client, or not STUN at all.
    case badMagicCookie
    /// The length field is no multiple of four, or not what follows the header.
    case badLength
    /// An attribute, or its padding, runs over the end of the message.
    case badAttributeLength
}
