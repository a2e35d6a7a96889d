/// The ChannelData message of RFC 8656 section 12.4: a channel number, a length, the application data.
///
///      0                   1                   2                   3
///      0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
///     +-------------------------------+-------------------------------+
///     |         Channel Number        |            Length             |
///     +-------------------------------+-------------------------------+
///     |                       Application Data                        |
@frozen
public enum ChannelData {
    /// The size of the header, in bytes; the application data begins here.
    @inlinable
    public static var headerByteCount: Int { 4 }

    /// What the header says.
    @frozen
    public struct Header: Sendable, Hashable, BitwiseCopyable {
        /// 0x4000 to 0x7FFF: which of them are accepted is for ``ChannelNumber`` to say.
        public let channel: UInt16
        /// The size of the application data, without padding.
        public let payloadByteCount: UInt16

        @inlinable
        public init(channel: UInt16, payloadByteCount: UInt16) {
            self.channel = channel
            self.payloadByteCount = payloadByteCount
        }
    }

    /// The header of a ChannelData message; nothing when the first two bits are not 01, or when the datagram is
    /// shorter than its length field says.
    ///
    /// What follows the application data is not looked at: over UDP a sender may pad to four bytes, and how much
    /// it adds does not matter to a relay.
    @inlinable
    public static func parse(_ datagram: RawSpan) -> Header? {
        guard datagram.byteCount >= headerByteCount else { return nil }
        let word = datagram.uint32(at: 0)
        let header = Header(
            channel: UInt16(truncatingIfNeeded: word >> 16), payloadByteCount: UInt16(truncatingIfNeeded: word))
        guard header.channel & 0xC000 == 0x4000,
            Int(header.payloadByteCount) <= datagram.byteCount &- headerByteCount
        else { return nil }
        return header
    }

    /// Writes the four bytes of a header at `offset`; all of them must be inside `bytes`.
    @inlinable
    public static func writeHeader(
        channel: ChannelNumber, payloadByteCount: UInt16, into bytes: inout MutableRawSpan, at offset: Int = 0
    ) {
        bytes.store(UInt32(channel.rawValue) << 16 | UInt32(payloadByteCount), at: offset)
    }
}
