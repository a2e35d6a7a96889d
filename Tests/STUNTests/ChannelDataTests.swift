import STUN
import Testing

@Suite("ChannelData")
struct ChannelDataTests {
    @Test("Header and length, with and without padding")
    func parse() {
        #expect(header("40000005 68656c6c6f") == ChannelData.Header(channel: 0x4000, payloadByteCount: 5))
        #expect(header("40000005 68656c6c6f 000000") == ChannelData.Header(channel: 0x4000, payloadByteCount: 5))
        #expect(header("40000005 68656c6c6f 00") == ChannelData.Header(channel: 0x4000, payloadByteCount: 5))
        #expect(header("7fff0000") == ChannelData.Header(channel: 0x7FFF, payloadByteCount: 0))
        #expect(header("4fff0000 00000000") == ChannelData.Header(channel: 0x4FFF, payloadByteCount: 0))
    }

    @Test("Too short, or not a channel number")
    func refused() {
        for digits in ["", "40", "400000", "40000001", "40000005 68656c6c", "4000ffff 00"] {
            #expect(header(digits) == nil)
        }
        for digits in ["3fff0000", "80000000", "00000000", "ffff0000"] { #expect(header(digits) == nil) }
    }

    @Test("A written header parses, for every length")
    func write() throws {
        let channel = try #require(ChannelNumber(0x4ABC, in: .rfc8656))
        var bytes = Array(repeating: UInt8(0xEE), count: 0x1_0004)
        for payloadByteCount in [0, 1, 3, 4, 1200, 0xFFFE, 0xFFFF] as [UInt16] {
            var span = bytes.mutableSpan
            var rawSpan = span.mutableBytes
            ChannelData.writeHeader(channel: channel, payloadByteCount: payloadByteCount, into: &rawSpan)
            let parsed = ChannelData.parse(bytes.span.bytes)
            #expect(parsed == ChannelData.Header(channel: 0x4ABC, payloadByteCount: payloadByteCount))
            #expect(bytes[4] == 0xEE)
        }
    }

    @Test("Channel numbers are of the range that is asked for")
    func channelNumbers() {
        for value in UInt16(0)...0xFFFF {
            let (new, old) = (ChannelNumber(value, in: .rfc8656), ChannelNumber(value, in: .rfc5766))
            guard (new != nil) == (0x4000...0x4FFF).contains(value), (old != nil) == (0x4000...0x7FFF).contains(value)
            else {
                Issue.record("\(value)")
                return
            }
        }
    }

    private func header(_ digits: String) -> ChannelData.Header? {
        ChannelData.parse(hex(digits).span.bytes)
    }
}
