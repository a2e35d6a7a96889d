import CLinux
import Glibc
package import STUN

/// The headers of a UDP datagram as they were on the wire.
package struct ObservedDatagram: Equatable {
    package var source: TransportAddress
    package var destination: TransportAddress
    /// DSCP and ECN.
    package var trafficClass: UInt8
    /// TTL or hop limit.
    package var timeToLive: UInt8
    /// IPv4 only.
    package var identification: UInt16
    package var dontFragment: Bool
    /// IPv6 only.
    package var flowLabel: UInt32
    package var checksum: UInt16
    package var isChecksumRight: Bool
    package var payload: [UInt8]
}

/// Sees every frame that arrives in a namespace.
package final class FrameWatch {
    private let descriptor: Int32

    /// To be made inside of the namespace.
    package init() throws {
        // ETH_P_ALL in network byte order.
        descriptor = socket(AF_PACKET, Int32(SOCK_RAW.rawValue | SOCK_NONBLOCK.rawValue), Int32(UInt16(3).bigEndian))
        guard descriptor >= 0 else { throw SystemCallFailed(name: "socket(AF_PACKET)", error: errno) }
        _ = clinux_set_option(descriptor, SOL_SOCKET, SO_RCVBUF, 8 << 20)
    }

    deinit { _ = clinux_close(descriptor) }

    /// Forgets what it has seen so far.
    package func forget() { while next(waitMilliseconds: 0) != nil {} }

    /// The next UDP datagram to this address, waited for up to two seconds; fragments are passed over.
    package func datagram(to destination: TransportAddress, waitMilliseconds: Int32 = 2_000) -> ObservedDatagram? {
        for _ in 0..<10_000 {
            guard let frame = next(waitMilliseconds: waitMilliseconds) else { return nil }
            if let found = ObservedDatagram(frame: frame), found.destination == destination { return found }
        }
        return nil
    }

    private func next(waitMilliseconds: Int32) -> [UInt8]? {
        var watched = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard poll(&watched, 1, waitMilliseconds) == 1 else { return nil }
        var bytes = [UInt8](repeating: 0, count: 65_536)
        let count = recv(descriptor, &bytes, bytes.count, 0)
        return count >= 0 ? Array(bytes.prefix(count)) : nil
    }
}

package struct SystemCallFailed: Error {
    package let name: String
    package let error: Int32
}

extension ObservedDatagram {
    /// Nothing where the frame carries no whole UDP datagram without options.
    fileprivate init?(frame: [UInt8]) {
        guard frame.count > 14 + 28 else { return nil }
        let packet = Array(frame[14...])
        let (isIPv4, headerCount): (Bool, Int)
        switch UInt16(frame[12]) << 8 | UInt16(frame[13]) {
        case 0x0800 where packet[0] == 0x45 && packet[9] == 17 && packet.word(6) & 0x3FFF == 0:
            (isIPv4, headerCount) = (true, 20)
        case 0x86DD where packet.count >= 48 && packet[6] == 17: (isIPv4, headerCount) = (false, 40)
        default: return nil
        }
        let udpCount = Int(packet.word(headerCount + 4))
        guard udpCount >= 8, packet.count >= headerCount + udpCount else { return nil }
        let addresses = isIPv4 ? packet[12..<20] : packet[8..<40]
        let udp = Array(packet[headerCount..<headerCount + udpCount])
        let half = addresses.count / 2
        guard let source = IPAddress(bytes: Array(addresses.prefix(half))),
            let destination = IPAddress(bytes: Array(addresses.suffix(half)))
        else { return nil }
        self.source = TransportAddress(source, port: udp.word(0))
        self.destination = TransportAddress(destination, port: udp.word(2))
        let word = UInt32(packet.word(0)) << 16 | UInt32(packet.word(2))
        trafficClass = isIPv4 ? packet[1] : UInt8(truncatingIfNeeded: word >> 20)
        timeToLive = isIPv4 ? packet[8] : packet[7]
        identification = isIPv4 ? packet.word(4) : 0
        dontFragment = isIPv4 && packet.word(6) & 0x4000 != 0
        flowLabel = isIPv4 ? 0 : word & 0xFFFFF
        checksum = udp.word(6)
        var summed = Array(addresses) + [0, 17, UInt8(udpCount >> 8), UInt8(udpCount & 0xFF)] + udp
        if summed.count % 2 == 1 { summed.append(0) }
        var sum = stride(from: 0, to: summed.count, by: 2).reduce(UInt32(0)) { $0 + UInt32(summed.word($1)) }
        while sum > 0xFFFF { sum = sum & 0xFFFF + sum >> 16 }
        isChecksumRight = checksum == 0 || sum == 0xFFFF
        payload = Array(udp[8...])
    }
}

extension [UInt8] {
    /// Two bytes in network order.
    fileprivate func word(_ offset: Int) -> UInt16 { UInt16(self[offset]) << 8 | UInt16(self[offset + 1]) }
}

extension IPAddress {
    /// 4 or 16 bytes in network order.
    fileprivate init?(bytes: [UInt8]) {
        let word = { (slice: ArraySlice<UInt8>) in slice.reduce(UInt64(0)) { $0 << 8 | UInt64($1) } }
        switch bytes.count {
        case 4: self.init(v4: UInt32(word(bytes[...])))
        case 16: self.init(v6High: word(bytes[..<8]), low: word(bytes[8...]))
        default: return nil
        }
    }
}
