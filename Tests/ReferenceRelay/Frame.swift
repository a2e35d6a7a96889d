public import STUN

/// A UDP datagram in its Ethernet frame, field by field: what the tests think in.
public struct Frame: Equatable {
    public var ethernetDestination: [UInt8] = [2, 0, 0, 0, 0, 1]
    public var ethernetSource: [UInt8] = [2, 0, 0, 0, 0, 2]
    public var source: TransportAddress
    public var destination: TransportAddress
    public var trafficClass: UInt8 = 0
    public var timeToLive: UInt8 = 64
    public var identification: UInt16 = 0
    public var dontFragment = false
    public var flowLabel: UInt32 = 0
    public var data: [UInt8]
    /// What the UDP and IPv4 checksums are off by, in ones' complement; 0 for right ones.
    public var udpError: UInt16 = 0
    public var ipError: UInt16 = 0
    /// No UDP checksum at all.
    public var hasChecksum = true
    /// What lies in the frame behind the packet.
    public var trailer: [UInt8] = []

    public init(from source: TransportAddress, to destination: TransportAddress, data: [UInt8]) {
        self.source = source
        self.destination = destination
        self.data = data
    }

    public var ipByteCount: Int { (source.family == .ipv4 ? 28 : 48) + data.count }

    /// Whether an IPv4 header's checksum is right; the error of all ones is none.
    public var hasGoodHeader: Bool { onesComplementSum(of: bytes[14..<34]) == 0xFFFF }

    /// The frame's bytes, all checksums summed from scratch.
    public var bytes: [UInt8] {
        var bytes = ethernetDestination + ethernetSource
        bytes.reserveCapacity(14 + ipByteCount + trailer.count)
        source.family == .ipv4 ? appendIPv4(to: &bytes) : appendIPv6(to: &bytes)
        appendUDP(to: &bytes)
        return bytes + trailer
    }

    private func appendIPv4(to bytes: inout [UInt8]) {
        bytes.append16(0x0800)
        let start = bytes.count
        bytes += [0x45, trafficClass]
        bytes.append16(UInt16(ipByteCount))
        bytes.append16(identification)
        bytes.append16(dontFragment ? 0x4000 : 0)
        bytes += [timeToLive, 17]
        bytes.append16(0)
        bytes.append(source.ip)
        bytes.append(destination.ip)
        let sum = onesComplementSum(of: bytes[start...])
        bytes.set16(~onesComplementSum(sum, ipError), at: start + 10)
    }

    private func appendIPv6(to bytes: inout [UInt8]) {
        bytes.append16(0x86DD)
        let word = 6 << 28 | UInt32(trafficClass) << 20 | flowLabel
        bytes.append16(UInt16(word >> 16))
        bytes.append16(UInt16(word & 0xFFFF))
        bytes.append16(UInt16(8 + data.count))
        bytes += [17, timeToLive]
        bytes.append(source.ip)
        bytes.append(destination.ip)
    }

    private func appendUDP(to bytes: inout [UInt8]) {
        let start = bytes.count
        bytes.append16(source.port)
        bytes.append16(destination.port)
        bytes.append16(UInt16(8 + data.count))
        bytes.append16(0)
        bytes += data
        guard hasChecksum else { return }
        var pseudoHeader: [UInt8] = []
        pseudoHeader.append(source.ip)
        pseudoHeader.append(destination.ip)
        pseudoHeader.append16(17)
        pseudoHeader.append16(UInt16(8 + data.count))
        let sum = onesComplementSum(onesComplementSum(of: pseudoHeader[...]), onesComplementSum(of: bytes[start...]))
        let checksum = ~onesComplementSum(sum, udpError)
        bytes.set16(checksum == 0 ? 0xFFFF : checksum, at: start + 6)
    }
}

/// RFC 1071, from scratch; a last odd byte counts as the high half of its word.
public func onesComplementSum(of bytes: ArraySlice<UInt8>) -> UInt16 {
    var sum: UInt32 = 0
    var index = bytes.startIndex
    while index + 1 < bytes.endIndex {
        sum += UInt32(bytes[index]) << 8 | UInt32(bytes[index + 1])
        index += 2
    }
    if index < bytes.endIndex { sum += UInt32(bytes[index]) << 8 }
    while sum > 0xFFFF { sum = sum & 0xFFFF + sum >> 16 }
    return UInt16(sum)
}

private func onesComplementSum(_ left: UInt16, _ right: UInt16) -> UInt16 {
    let (sum, carry) = left.addingReportingOverflow(right)
    return carry ? sum + 1 : sum
}

extension [UInt8] {
    public mutating func append16(_ word: UInt16) {
        append(UInt8(word >> 8))
        append(UInt8(word & 0xFF))
    }

    public mutating func set16(_ word: UInt16, at offset: Int) {
        self[offset] = UInt8(word >> 8)
        self[offset + 1] = UInt8(word & 0xFF)
    }

    mutating func append(_ address: IPAddress) {
        let bits = address.family == .ipv4 ? 32 : 128
        for shift in stride(from: bits - 8, through: 0, by: -8) {
            append(UInt8(truncatingIfNeeded: shift >= 64 ? address.high >> (shift - 64) : address.low >> shift))
        }
    }
}

/// A channel data message with what follows it.
public func channelData(_ channel: UInt16, _ payload: [UInt8], padding: [UInt8] = []) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.append16(channel)
    bytes.append16(UInt16(payload.count))
    return bytes + payload + padding
}
