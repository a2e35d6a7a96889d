/// The address families of RFC 8489 section 14.1, with their wire values.
@frozen
public enum AddressFamily: UInt8, Sendable, Hashable, CaseIterable {
    case ipv4 = 0x01
    case ipv6 = 0x02
}

/// An IPv4 or IPv6 address as a value: 128 bits in host order and the family.
///
/// An IPv4 address keeps its 32 bits in the lowest bits of `low`; `high` and the rest are zero, so the
/// IPv4-mapped IPv6 address `::ffff:192.0.2.1` is a different value from `192.0.2.1`.
@frozen
public struct IPAddress: Sendable, Hashable, BitwiseCopyable {
    /// Bits 127 to 64 of an IPv6 address, zero for IPv4.
    public let high: UInt64
    /// Bits 63 to 0 of an IPv6 address, or the 32 bits of an IPv4 address.
    public let low: UInt64
    public let family: AddressFamily

    /// An IPv4 address from its 32 bits in host order (`0xC000_0201` is 192.0.2.1).
    @inlinable
    public init(v4 bits: UInt32) {
        high = 0
        low = UInt64(bits)
        family = .ipv4
    }

    /// An IPv6 address from its two halves in host order.
    @inlinable
    public init(v6High high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
        family = .ipv6
    }

    /// The 32 bits of an IPv4 address in host order; nothing for IPv6.
    @inlinable
    public var v4Bits: UInt32? {
        family == .ipv4 ? UInt32(truncatingIfNeeded: low) : nil
    }
}

/// An address and a UDP port: what RFC 8489 calls a transport address.
@frozen
public struct TransportAddress: Sendable, Hashable, BitwiseCopyable {
    public let ip: IPAddress
    /// The port in host order.
    public let port: UInt16

    @inlinable
    public init(_ ip: IPAddress, port: UInt16) {
        self.ip = ip
        self.port = port
    }

    @inlinable
    public var family: AddressFamily { ip.family }
}
