/// Where a core takes its randomness from.
public enum Entropy: Sendable {
    /// The operating system's generator.
    case system
    /// A sequence that the seed determines: for tests and replays. Whoever sees some of it can tell the rest.
    case seeded(UInt64)
}

/// The randomness of one core: port numbers, tokens, transaction ids, keys and hash seeds.
///
/// The system's generator is read 8 bytes a call, which is all that the standard library offers (about 0.3
/// microseconds); a buffer in front of it would make the same calls, only earlier.
struct EntropySource: RandomNumberGenerator {
    private enum State {
        case system(SystemRandomNumberGenerator)
        case seeded(SplitMix64)
    }

    private var state: State

    init(_ entropy: Entropy) {
        state =
            switch entropy {
            case .system: .system(SystemRandomNumberGenerator())
            case .seeded(let seed): .seeded(SplitMix64(seed: seed))
            }
    }

    mutating func next() -> UInt64 {
        switch state {
        case .system(var generator):
            // It has no state of its own, so there is nothing to put back.
            return generator.next()
        case .seeded(var generator):
            defer { state = .seeded(generator) }
            return generator.next()
        }
    }

    /// `count` random bytes.
    mutating func bytes(_ count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count)
        while bytes.count < count {
            var word = next()
            for _ in 0..<min(8, count - bytes.count) {
                bytes.append(UInt8(truncatingIfNeeded: word))
                word >>= 8
            }
        }
        return bytes
    }
}

/// The SplitMix64 generator (Steele, Lea and Flood, 2014): a counter through a mixing function. Not for secrets.
struct SplitMix64: RandomNumberGenerator {
    private var counter: UInt64

    init(seed: UInt64) { counter = seed }

    mutating func next() -> UInt64 {
        counter &+= 0x9E37_79B9_7F4A_7C15
        var mixed = counter
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }
}
