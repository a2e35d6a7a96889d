import Testing

@testable import RelayCore

@Suite("The core and its model")
struct ModelTests {
    @Test(
        "200,000 random operations: the same answers, the same verdicts, the same routes, and nothing left at the end")
    func agreement() {
        print("model: \(scriptSeedNote)")
        var answers: [String: Int] = [:]
        var forwardedCount = 0
        for part in 0..<UInt64(20) {
            let run = ModelRun(seed: scriptSeed &+ part, entropy: scriptSeed &- part)
            for number in 0..<10_000 {
                guard let complaint = run.step() else { continue }
                Issue.record("operation \(number) of part \(part): \(complaint). \(scriptSeedNote)")
                return
            }
            #expect(run.finish() == nil, "part \(part). \(scriptSeedNote)")
            answers.merge(run.answers, uniquingKeysWith: +)
            forwardedCount += run.forwardedCount
        }
        // The run is worth something only if it gets about.
        for expected in ModelTests.expectedAnswers {
            #expect(answers[expected, default: 0] >= 10, "saw \(expected) too seldom. \(scriptSeedNote)")
        }
        #expect(forwardedCount > 15_000, "\(scriptSeedNote)")
    }

    static let expectedAnswers = [
        "allocate success", "allocate 400", "allocate 437", "allocate 440", "allocate 486", "allocate 508",
        "refresh success", "refresh 437", "refresh 441", "refresh 443", "permission success", "permission 403",
        "permission 437", "permission 443", "permission 486", "channel success", "channel 400", "channel 403",
        "channel 437", "channel 443", "channel 486",
    ]

    @Test("the same seed and the same script give the same bytes, another seed gives others")
    func determinism() {
        func bytes(_ seed: UInt64, entropy: UInt64) -> [Relay.Datagram] {
            let run = ModelRun(seed: seed, entropy: entropy)
            for _ in 0..<2000 {
                guard let complaint = run.step() else { continue }
                Issue.record("\(complaint). \(scriptSeedNote)")
                break
            }
            return run.sent
        }
        let first = bytes(scriptSeed, entropy: 7)
        #expect(first.count > 100, "\(scriptSeedNote)")
        #expect(first == bytes(scriptSeed, entropy: 7), "\(scriptSeedNote)")
        #expect(first != bytes(scriptSeed, entropy: 8), "\(scriptSeedNote)")
    }
}
