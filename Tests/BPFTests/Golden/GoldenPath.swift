import STUN
import Testing

/// A frame that arrives and the frame that must leave for it.
///
/// The ends are always the same: a client on channel 0x4001, its relayed address, its peer; and where channel data
/// leaves for channel data, another client on channel 0x4FFF, whose relayed address is the first one's peer.
struct GoldenPath: Sendable, CustomTestStringConvertible {
    enum Kind: String { case udp, channel }
    typealias Side = (family: AddressFamily, kind: Kind)

    let from: Side
    let to: Side
    /// Hexadecimal digits; what stands behind `#` says what they are.
    private let arrivingText: String
    private let leavingText: String

    init(from: Side, to: Side, arriving: String, leaving: String) {
        self.from = from
        self.to = to
        arrivingText = arriving
        leavingText = leaving
    }

    var arriving: [UInt8] { Self.bytes(arrivingText) }
    var leaving: [UInt8] { Self.bytes(leavingText) }

    var testDescription: String { "\(from.family) \(from.kind) to \(to.family) \(to.kind)" }

    private static func bytes(_ text: String) -> [UInt8] {
        let digits = text.split(separator: "\n").flatMap { line in
            line.prefix { $0 != "#" }.compactMap { $0.hexDigitValue }
        }
        return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
    }
}
