import STUN

/// The headers that a raw socket takes in front of a UDP payload: IPv4 (RFC 791) without options or IPv6 (RFC 8200)
/// without extensions, then UDP (RFC 768).
struct RawFrame {
    static let largestHeaderByteCount = 48

    let source: TransportAddress
    /// Of the same family.
    let destination: TransportAddress
    /// DSCP and ECN.
    let trafficClass: UInt8
    /// TTL or hop limit.
    let hopLimit: UInt8
    /// IPv4's; 0 leaves it to the kernel.
    var identification: UInt16 = 0

    var headerByteCount: Int { source.family == .ipv4 ? 28 : 48 }

    /// Writes the headers of a datagram with this payload to the first bytes of `header`.
    ///
    /// What the kernel fills in by itself stays zero: IPv4's total length and header checksum.
    func write(_ payload: RawSpan, to header: inout MutableRawSpan) {
        let udpByteCount = UInt16(8 + payload.byteCount)
        switch source.family {
        case .ipv4: writeIPv4(to: &header)
        case .ipv6: writeIPv6(udpByteCount, to: &header)
        }
        var sum = InternetChecksum()
        sum.add(source.ip.high.bigEndian)
        sum.add(source.ip.low.bigEndian)
        sum.add(destination.ip.high.bigEndian)
        sum.add(destination.ip.low.bigEndian)
        sum.add(UInt64(UInt16(Self.udp).bigEndian))
        sum.add(UInt64(udpByteCount.bigEndian))
        // The UDP header itself, its checksum zero.
        let ports = UInt32(source.port) << 16 | UInt32(destination.port)
        sum.add(UInt64(ports.bigEndian))
        sum.add(UInt64(udpByteCount.bigEndian))
        sum.add(payload)
        let udp = headerByteCount - 8
        header.storeBytes(of: ports.bigEndian, toByteOffset: udp, as: UInt32.self)
        header.storeBytes(of: udpByteCount.bigEndian, toByteOffset: udp + 4, as: UInt16.self)
        header.storeBytes(of: sum.forUDP, toByteOffset: udp + 6, as: UInt16.self)
    }

    /// The protocol number of UDP.
    private static let udp: UInt8 = 17

    private func writeIPv4(to header: inout MutableRawSpan) {
        let words: (UInt32, UInt32, UInt32) = (
            0x4500_0000 | UInt32(trafficClass) << 16, UInt32(identification) << 16,
            UInt32(hopLimit) << 24 | UInt32(Self.udp) << 16
        )
        header.storeBytes(of: words.0.bigEndian, toByteOffset: 0, as: UInt32.self)
        header.storeBytes(of: words.1.bigEndian, toByteOffset: 4, as: UInt32.self)
        header.storeBytes(of: words.2.bigEndian, toByteOffset: 8, as: UInt32.self)
        header.storeBytes(of: UInt32(truncatingIfNeeded: source.ip.low).bigEndian, toByteOffset: 12, as: UInt32.self)
        header.storeBytes(
            of: UInt32(truncatingIfNeeded: destination.ip.low).bigEndian, toByteOffset: 16, as: UInt32.self)
    }

    private func writeIPv6(_ udpByteCount: UInt16, to header: inout MutableRawSpan) {
        let first = 0x6000_0000 | UInt32(trafficClass) << 20 | flowLabel
        let second = UInt32(udpByteCount) << 16 | UInt32(Self.udp) << 8 | UInt32(hopLimit)
        header.storeBytes(of: first.bigEndian, toByteOffset: 0, as: UInt32.self)
        header.storeBytes(of: second.bigEndian, toByteOffset: 4, as: UInt32.self)
        header.storeBytes(of: source.ip.high.bigEndian, toByteOffset: 8, as: UInt64.self)
        header.storeBytes(of: source.ip.low.bigEndian, toByteOffset: 16, as: UInt64.self)
        header.storeBytes(of: destination.ip.high.bigEndian, toByteOffset: 24, as: UInt64.self)
        header.storeBytes(of: destination.ip.low.bigEndian, toByteOffset: 32, as: UInt64.self)
    }

    /// 20 bits that are the same for every datagram of a flow (RFC 6437), so that routers spread flows and not datagrams.
    private var flowLabel: UInt32 {
        let word = UInt64(source.port) << 16 | UInt64(destination.port)
        let product = (source.ip.low ^ destination.ip.low ^ destination.ip.high ^ word) &* 0x9E37_79B9_7F4A_7C15
        return UInt32(truncatingIfNeeded: product >> 44)
    }
}
