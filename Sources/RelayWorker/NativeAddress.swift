public import CLinux
public import STUN

extension clinux_address {
    /// The system's form of an IP address and a port.
    @inlinable
    public init(_ ip: IPAddress, port: UInt16) {
        self.init(high: ip.high, low: ip.low, port: port, version: ip.family == .ipv4 ? 4 : 6)
    }

    @inlinable
    public init(_ address: TransportAddress) { self.init(address.ip, port: address.port) }
}

extension IPAddress {
    /// The address in its system form; nothing where the system gave none.
    @inlinable
    public init?(_ native: clinux_address) {
        switch native.version {
        case 4: self.init(v4: UInt32(truncatingIfNeeded: native.low))
        case 6: self.init(v6High: native.high, low: native.low)
        default: return nil
        }
    }
}

extension TransportAddress {
    @inlinable
    public init?(_ native: clinux_address) {
        guard let ip = IPAddress(native) else { return nil }
        self.init(ip, port: native.port)
    }
}
