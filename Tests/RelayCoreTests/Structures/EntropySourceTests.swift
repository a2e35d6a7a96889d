import Testing

@testable import RelayCore

@Suite struct EntropySourceTests {
    @Test("The same seed gives the same numbers, another seed others")
    func seeded() {
        var one = EntropySource(.seeded(1))
        var same = EntropySource(.seeded(1))
        var other = EntropySource(.seeded(2))
        let numbers = (0..<100).map { _ in one.next() }
        #expect(numbers == (0..<100).map { _ in same.next() })
        #expect(Set(numbers).isDisjoint(with: (0..<100).map { _ in other.next() }))
    }

    /// The first outputs of SplitMix64 for seed 1234567, as its authors' reference gives them.
    @Test("It is SplitMix64")
    func reference() {
        var source = EntropySource(.seeded(1_234_567))
        #expect(source.next() == 6_457_827_717_110_365_317)
        #expect(source.next() == 3_203_168_211_198_807_973)
        #expect(source.next() == 9_817_491_932_198_370_423)
    }

    @Test("Two system sources differ")
    func system() {
        var one = EntropySource(.system)
        var other = EntropySource(.system)
        #expect(one.bytes(32) != other.bytes(32))
        #expect(one.bytes(32) != one.bytes(32))
    }

    @Test("As many bytes as asked for, in the order of the numbers")
    func bytes() {
        var numbers = EntropySource(.seeded(5))
        let first = numbers.next()
        let second = numbers.next()
        let expected = [first, second].flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) } }
        for count in 0...16 {
            var source = EntropySource(.seeded(5))
            #expect(source.bytes(count) == Array(expected.prefix(count)))
        }
    }
}
