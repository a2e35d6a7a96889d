import Glibc

/// The seed of this run's random inputs: RELAYD_TEST_SEED, or a new one. Tests put it into their messages.
package let testSeed: UInt64 =
    getenv("RELAYD_TEST_SEED").flatMap { UInt64(String(cString: $0)) } ?? .random(in: 0 ... .max)

/// SplitMix64: the same seed, the same numbers.
package struct SeededGenerator: RandomNumberGenerator, CustomStringConvertible {
    package let seed: UInt64
    private var state: UInt64

    package init(seed: UInt64 = testSeed) {
        self.seed = seed
        state = seed
    }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
        return value ^ value >> 31
    }

    /// A number of the range.
    package mutating func pick(_ range: ClosedRange<Int>) -> Int {
        range.lowerBound + Int(truncatingIfNeeded: next() % UInt64(range.count))
    }

    /// A number below `bound`, which must not be zero.
    package mutating func below(_ bound: Int) -> Int { pick(0...bound - 1) }

    /// True `percent` times in a hundred.
    package mutating func chance(_ percent: Int) -> Bool { pick(0...99) < percent }

    package mutating func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8(truncatingIfNeeded: next() >> 32) }
    }

    package var description: String { "RELAYD_TEST_SEED=\(seed)" }
}
