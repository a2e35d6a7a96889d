import RelayCore
import STUN

/// Frames by seed: mostly such as a route takes, with everything varied that the program looks at.
public struct FrameMaker {
    private let reference: ReferenceRelay
    private var state: UInt64

    public init(_ reference: ReferenceRelay, seed: UInt64) {
        self.reference = reference
        state = seed
    }

    public mutating func frames(_ count: Int) -> [Frame] { (0..<count).map { _ in frame() } }

    private mutating func frame() -> Frame {
        let route = reference.routes[number(below: reference.routes.count)].route
        var frame: Frame
        if chance(2) {
            frame = Frame(
                from: route.client, to: route.server,
                data: channelData(
                    route.channel.rawValue, bytes(length()), padding: chance(3) ? bytes(number(below: 5)) : []))
        } else {
            frame = Frame(from: route.peer, to: route.relay, data: bytes(length()))
        }
        vary(&frame)
        if chance(16) { spoil(&frame) }
        return frame
    }

    /// What is carried across.
    private mutating func vary(_ frame: inout Frame) {
        frame.trafficClass = UInt8(number(below: 256))
        frame.timeToLive = chance(32) ? UInt8(number(below: 3)) : UInt8(2 + number(below: 254))
        frame.identification = UInt16(number(below: 65536))
        frame.dontFragment = chance(2)
        frame.flowLabel = UInt32(number(below: 1 << 20))
        frame.ethernetSource = bytes(6)
        frame.ethernetDestination[5] = UInt8(number(below: 256))
        if chance(8) { frame.udpError = UInt16(number(below: 65536)) }
        if chance(16) { frame.ipError = UInt16(number(below: 65536)) }
        if chance(16) { frame.hasChecksum = false }
        if chance(8) { frame.trailer = bytes(number(below: 50)) }
    }

    /// What makes a frame somebody else's.
    private mutating func spoil(_ frame: inout Frame) {
        switch number(below: 7) {
        case 0: frame.source = TransportAddress(frame.source.ip, port: UInt16(number(below: 65536)))
        case 1: frame.destination = TransportAddress(frame.destination.ip, port: UInt16(number(below: 65536)))
        case 2: frame.ethernetDestination[0] |= 1
        case 3: frame.data = bytes(number(below: 8))
        case 4: if frame.data.count > 3 { frame.data[number(below: 4)] ^= 1 << UInt8(number(below: 8)) }
        case 5: frame.data = Array(frame.data.prefix(number(below: frame.data.count + 1)))
        default: (frame.source, frame.destination) = (frame.destination, frame.source)
        }
    }

    /// Mostly short, for speed; some at the edges of the MTU.
    private mutating func length() -> Int {
        chance(20) ? number(below: 1450) : chance(40) ? 1420 + number(below: 60) : number(below: 48)
    }

    private mutating func bytes(_ count: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            var word: UInt64 = 0
            for index in 0..<count {
                if index % 8 == 0 { word = next() }
                buffer[index] = UInt8(truncatingIfNeeded: word)
                word >>= 8
            }
            initialized = count
        }
    }

    private mutating func chance(_ oneIn: Int) -> Bool { number(below: oneIn) == 0 }

    private mutating func number(below bound: Int) -> Int { Int(next() >> 11) % bound }

    /// SplitMix64.
    private mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}
