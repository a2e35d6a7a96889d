/// A TURN channel number, RFC 8656 section 12: 0x4000 to 0x4FFF.
///
/// RFC 5766 allowed 0x4000 to 0x7FFF, and old clients still draw from that range; whoever accepts them says so
/// with ``ChannelNumber/Range/rfc5766``.
@frozen
public struct ChannelNumber: Sendable, Hashable, BitwiseCopyable {
    public let rawValue: UInt16

    /// The numbers that a relay accepts.
    @frozen
    public enum Range: Sendable, Hashable {
        /// 0x4000 to 0x4FFF.
        case rfc8656
        /// 0x4000 to 0x7FFF.
        case rfc5766

        @inlinable
        public func contains(_ value: UInt16) -> Bool {
            switch self {
            case .rfc8656: value & 0xF000 == 0x4000
            case .rfc5766: value & 0xC000 == 0x4000
            }
        }
    }

    /// A channel number inside `range`; nothing outside of it.
    @inlinable
    public init?(_ rawValue: UInt16, in range: Range) {
        guard range.contains(rawValue) else { return nil }
        self.rawValue = rawValue
    }
}
