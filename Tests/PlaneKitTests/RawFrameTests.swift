import PlaneTestKit
import STUN
import TestSeed
import Testing

@testable import PlaneKit

/// The headers that go in front of a raw datagram, against a slow reference that shares nothing with them.
struct RawFrameTests {
    /// The checksum of RFC 768 word by word over pseudo-header, header and payload; 0xFFFF or 0 when it is right.
    private static func sum(_ frame: [UInt8], _ payload: [UInt8], isIPv4: Bool) -> UInt16 {
        let addresses = isIPv4 ? Array(frame[12..<20]) : Array(frame[8..<40])
        let udp = Array(frame.suffix(8)) + payload
        let length = UInt32(udp.count)
        var bytes = addresses + [0, 17] + [UInt8(length >> 24), UInt8(length >> 16 & 255)]
        bytes += [UInt8(length >> 8 & 255), UInt8(length & 255)] + udp
        if bytes.count % 2 == 1 { bytes.append(0) }
        var total = 0
        for index in stride(from: 0, to: bytes.count, by: 2) {
            total += Int(bytes[index]) << 8 | Int(bytes[index + 1])
            total = (total & 0xFFFF) + total >> 16
        }
        return UInt16(total)
    }

    private static func headers(_ frame: RawFrame, _ payload: [UInt8]) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: RawFrame.largestHeaderByteCount)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        frame.write(payload.span.bytes, to: &raw)
        return Array(bytes.prefix(frame.headerByteCount))
    }

    @Test func anIPv4HeaderToTheByte() {
        let frame = RawFrame(
            source: TransportAddress(IPAddress(v4: 0xC000_0201), port: 49_152),
            destination: TransportAddress(IPAddress(v4: 0xC633_6407), port: 5_004), trafficClass: 0xB9, hopLimit: 64,
            identification: 0xABCD)
        let written = Self.headers(frame, [1, 2, 3])

        #expect(
            written == [
                0x45, 0xB9, 0, 0, 0xAB, 0xCD, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 198, 51, 100, 7,
                0xC0, 0x00, 0x13, 0x8C, 0, 11, written[26], written[27],
            ])
        #expect(Self.sum(written, [1, 2, 3], isIPv4: true) == 0xFFFF)
    }

    @Test func anIPv6HeaderToTheByte() {
        let frame = RawFrame(
            source: TransportAddress(IPAddress(v6High: 0x2001_0DB8_0000_0000, low: 1), port: 49_152),
            destination: TransportAddress(IPAddress(v6High: 0x2001_0DB8_0000_0000, low: 2), port: 5_004),
            trafficClass: 0xB9, hopLimit: 63)
        let written = Self.headers(frame, [1, 2, 3])
        #expect(written[0] == 0x6B && written[1] & 0xF0 == 0x90)
        #expect(Array(written[4..<8]) == [0, 11, 17, 63])
        #expect(Array(written[8..<24]) == [0x20, 0x01, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])
        #expect(Array(written[24..<40]) == [0x20, 0x01, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2])
        #expect(Self.sum(written, [1, 2, 3], isIPv4: false) == 0xFFFF)
        // One flow has one label.
        #expect(Array(Self.headers(frame, [9]).prefix(4)) == Array(written.prefix(4)))
    }

    @Test func checksumsOfRandomDatagrams() {
        var generator = SeededGenerator()
        for round in 0..<20_000 {
            let isIPv4 = Bool.random(using: &generator)
            func address() -> TransportAddress {
                let low = UInt64.random(in: 0 ... .max, using: &generator)
                let ip =
                    isIPv4
                    ? IPAddress(v4: UInt32(truncatingIfNeeded: low))
                    : IPAddress(v6High: UInt64.random(in: 0 ... .max, using: &generator), low: low)
                return TransportAddress(ip, port: UInt16.random(in: 0 ... .max, using: &generator))
            }
            let frame = RawFrame(source: address(), destination: address(), trafficClass: 0, hopLimit: 64)
            // Two free bytes at the end make the sum come out as zero now and then.
            var payload = generator.bytes(Int.random(in: 0...200, using: &generator))
            if round % 50 == 0, payload.count >= 2 { payload = Self.forcedToZero(frame, payload, isIPv4) }
            let written = Self.headers(frame, payload)
            #expect(written[written.count - 2] != 0 || written[written.count - 1] != 0, "\(generator)")
            #expect(Self.sum(written, payload, isIPv4: isIPv4) == 0xFFFF, "round \(round), \(generator)")
        }
    }

    /// The payload with its last whole word changed so that the checksum comes out as zero, which is sent as 0xFFFF.
    private static func forcedToZero(_ frame: RawFrame, _ payload: [UInt8], _ isIPv4: Bool) -> [UInt8] {
        var payload = payload
        let word = payload.count / 2 * 2 - 2
        payload[word] = 0
        payload[word + 1] = 0
        var bare = headers(frame, payload)
        bare[bare.count - 2] = 0
        bare[bare.count - 1] = 0
        let missing = ~sum(bare, payload, isIPv4: isIPv4)
        payload[word] = UInt8(missing >> 8)
        payload[word + 1] = UInt8(missing & 255)
        return payload
    }
}
