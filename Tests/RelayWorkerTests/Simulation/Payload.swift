import STUN
import TestSeed

/// A payload that names its flow and its place in it, so that whoever gets it knows whether it is theirs and whole.
///
///     magic (8 bytes), flow (4), number (4), then bytes that follow from both
struct Payload: Hashable {
    let flow: UInt32
    let number: UInt32

    private static let magic: UInt64 = 0x5249_4E47_A15E_D0D0
    static let headerByteCount = 16
    /// Where a payload stands in a datagram: bare, behind a channel header, in an indication by IPv4 and by IPv6.
    private static let offsets = [0, 4, 36, 48]

    /// The bytes of this payload: 16 to 1,200, the same every time.
    var bytes: [UInt8] {
        var generator = SeededGenerator(seed: UInt64(flow) << 32 | UInt64(number))
        let fill = generator.chance(50) ? generator.pick(0...64) : generator.pick(0...1184)
        return Self.bigEndian(Self.magic) + Self.bigEndian(UInt64(flow) << 32 | UInt64(number)) + generator.bytes(fill)
    }

    /// The payload that a datagram carries, if it carries one.
    static func find(in datagram: [UInt8]) -> Payload? {
        for offset in offsets where datagram.count >= offset + headerByteCount {
            if let found = Payload(header: datagram[offset..<offset + headerByteCount]) { return found }
        }
        return nil
    }

    init(flow: UInt32, number: UInt32) {
        self.flow = flow
        self.number = number
    }

    private init?(header: ArraySlice<UInt8>) {
        let words = [header.prefix(8), header.suffix(8)].map { $0.reduce(UInt64(0)) { $0 << 8 | UInt64($1) } }
        guard words[0] == Self.magic else { return nil }
        self.init(flow: UInt32(words[1] >> 32), number: UInt32(truncatingIfNeeded: words[1]))
    }

    private static func bigEndian(_ value: UInt64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: value >> (56 - 8 * UInt64($0))) }
    }
}
