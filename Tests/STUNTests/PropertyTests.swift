import STUN
import TestSeed
import Testing

@Suite("Any bytes")
struct PropertyTests {
    @Test("200,000 random and mutated messages are read without a trap or a contradiction")
    func messages() throws {
        print("messages: RELAYD_TEST_SEED=\(testSeed)")
        var generator = SeededGenerator(seed: testSeed)
        var exercise = Exercise()
        for _ in 0..<200_000 {
            let bytes = generator.below(8) == 0 ? randomMessage(&generator) : mutated(Vector.all, &generator)
            if let complaint = exercise.message(bytes.span.bytes) {
                Issue.record("\(complaint): \(bytes), RELAYD_TEST_SEED=\(testSeed)")
                return
            }
        }
        let acceptedCount = exercise.acceptedCount
        #expect(acceptedCount > 10_000, "too few got past the header, RELAYD_TEST_SEED=\(testSeed)")
    }

    @Test("100,000 random and mutated ChannelData messages are read without a trap or a contradiction")
    func channelData() {
        print("channel data: RELAYD_TEST_SEED=\(testSeed)")
        var generator = SeededGenerator(seed: testSeed)
        var exercise = Exercise()
        let seeds = [hex("40000005 68656c6c6f"), hex("4fff0003 616263 00"), hex("7ffe0000"), Vector.request]
        for _ in 0..<100_000 {
            let bytes = generator.below(4) == 0 ? generator.bytes(generator.below(24)) : mutated(seeds, &generator)
            if let complaint = exercise.channelData(bytes.span.bytes) {
                Issue.record("\(complaint): \(bytes), RELAYD_TEST_SEED=\(testSeed)")
                return
            }
        }
        let acceptedCount = exercise.acceptedCount
        #expect(acceptedCount > 10_000, "too few got past the header, RELAYD_TEST_SEED=\(testSeed)")
    }

    /// A right header over random attributes, most of known types and fair lengths.
    private func randomMessage(_ generator: inout SeededGenerator) -> [UInt8] {
        let types: [UInt16] = [
            0x0001, 0x0006, 0x0008, 0x0009, 0x000A, 0x000C, 0x000D, 0x0012, 0x0013, 0x0016, 0x0017, 0x0018, 0x0019,
            0x001A, 0x001C, 0x001D, 0x001E, 0x0020, 0x0022, 0x8000, 0x8001, 0x8002, 0x8004, 0x8028, 0x0FFF,
        ]
        let attributes = (0..<generator.below(6)).map { _ in
            let byteCounts = [0, 1, 3, 4, 8, 20, 32, generator.below(40)]
            return (types[generator.below(types.count)], generator.bytes(byteCounts[generator.below(byteCounts.count)]))
        }
        return rawMessage(type: UInt16(generator.below(0x4000)), attributes)
    }

    /// One of `seeds` with a few bytes changed, cut, repeated or put in; the length is often mended.
    private func mutated(_ seeds: [[UInt8]], _ generator: inout SeededGenerator) -> [UInt8] {
        var bytes = seeds[generator.below(seeds.count)]
        for _ in 0...generator.below(4) where !bytes.isEmpty {
            let offset = generator.below(bytes.count)
            switch generator.below(6) {
            case 0: bytes[offset] ^= 1 << UInt8(generator.below(8))
            case 1: bytes[offset] = [0x00, 0x01, 0x04, 0x7F, 0x80, 0xFF][generator.below(6)]
            case 2: bytes[offset] = UInt8(truncatingIfNeeded: generator.next())
            case 3: bytes.removeSubrange(offset..<min(bytes.count, offset + generator.below(9)))
            case 4: bytes.insert(contentsOf: bytes[offset..<min(bytes.count, offset + 8)], at: offset)
            default: bytes.insert(contentsOf: generator.bytes(generator.below(9)), at: offset)
            }
        }
        if bytes.count >= 20, bytes.count % 4 == 0, generator.below(4) != 0 {
            bytes.replaceSubrange(2..<4, with: bigEndian(UInt16(bytes.count - 20)))
        }
        return bytes
    }
}
