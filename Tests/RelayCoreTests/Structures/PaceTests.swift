import Testing

@testable import RelayCore

/// A bucket of one rate, by itself.
@Suite struct PaceTests {
    /// The same without rounding: times are in parts of a nanosecond, one for each bit a second.
    private struct ExactBucket {
        let bitsPerSecond: UInt128
        var time: UInt128 = 0
        /// Datagrams since the bucket was full, each of which may be rounded by a nanosecond.
        var sinceFull: UInt128 = 0

        var burst: UInt128 { max(250_000_000 * bitsPerSecond, 65_536 * 8_000_000_000) }

        func next(_ byteCount: UInt64, at now: UInt64) -> UInt128 {
            max(time, UInt128(now) * bitsPerSecond) + UInt128(byteCount) * 8_000_000_000
        }

        /// Whether the datagram passes; nothing where rounding may decide.
        func judges(_ byteCount: UInt64, at now: UInt64) -> Bool? {
            let ahead = next(byteCount, at: now) - UInt128(now) * bitsPerSecond
            let slack = (sinceFull + 2) * bitsPerSecond
            if ahead + slack <= burst { return true }
            return ahead > burst + slack ? false : nil
        }

        mutating func empty(to time: UInt64) {
            self.time = UInt128(time) * bitsPerSecond
            sinceFull = 1
        }

        mutating func pass(_ byteCount: UInt64, at now: UInt64) {
            sinceFull = time <= UInt128(now) * bitsPerSecond ? 1 : sinceFull + 1
            time = next(byteCount, at: now)
        }
    }

    @Test(
        "It lets through what an exact bucket would, to the nanosecond a datagram",
        arguments: [8, 999, 64_000, 1_000_000, 7_777_777, 2_000_000_000, 100_000_000_000])
    func agreesWithExactBucket(_ bitsPerSecond: UInt64) {
        var generator = SplitMix64(seed: structureSeed ^ bitsPerSecond)
        let pace = Pace.bytes(bitsPerSecond: bitsPerSecond)
        var exact = ExactBucket(bitsPerSecond: UInt128(bitsPerSecond))
        var (time, now): (UInt64, UInt64) = (0, 1_000_000_000)
        var verdicts = (passed: 0, dropped: 0, open: 0)
        for step in 0..<20_000 {
            let byteCount = UInt64.random(in: 0...(step % 7 == 0 ? 65_507 : 1_400), using: &generator)
            // Somewhat faster than the limit; now and then a silence, or a bucket that is nearly empty.
            now += UInt64.random(in: 0...2, using: &generator) * (3_000 * 8_000_000_000 / bitsPerSecond)
            if step % 1_000 == 0 { now += pace.burstNanoseconds * 2 }
            if step % 1_000 == 500 {
                time = now + pace.burstNanoseconds - 50_000 * 8_000_000_000 / bitsPerSecond
                exact.empty(to: time)
            }
            let next = pace.next(time, byteCount, at: now)
            let expected = exact.judges(byteCount, at: now)
            guard expected == nil || expected == (next != nil) else {
                Issue.record("step \(step), \(byteCount) bytes: \(structureSeedNote)")
                return
            }
            switch next {
            case nil: verdicts.dropped += 1
            case let next?:
                verdicts.passed += 1
                time = next
                exact.pass(byteCount, at: now)
            }
            if expected == nil { verdicts.open += 1 }
        }
        #expect(verdicts.passed > 1_000 && verdicts.dropped > 100, "\(verdicts) \(structureSeedNote)")
        #expect(verdicts.open < 1_000, "\(verdicts) \(structureSeedNote)")
    }

    @Test("The burst is a quarter of a second, or the time of 64 KiB or 64 datagrams if that is longer")
    func bursts() {
        #expect(Pace.bytes(bitsPerSecond: 8_000_000).burstNanoseconds == 250_000_000)
        #expect(Pace.bytes(bitsPerSecond: 80_000).burstNanoseconds == 6_553_600_000)
        #expect(Pace.packets(perSecond: 1_000).burstNanoseconds == 250_000_000)
        #expect(Pace.packets(perSecond: 100).burstNanoseconds == 640_000_000)
        #expect(Pace.bytes(bitsPerSecond: 0) == .none)
    }

    @Test("Without a limit everything passes, and nothing is remembered")
    func none() {
        #expect(Pace.none.next(5, 65_507, at: 3) == 5)
        #expect(Pace.none.charged(5, 65_507, since: 3, at: 3) == 5)
    }

    @Test("What was carried elsewhere is a debt of two seconds beyond the burst at most")
    func charges() {
        let pace = Pace.bytes(bitsPerSecond: 8_000_000)
        let now: UInt64 = 10_000_000_000
        #expect(pace.charged(0, 1_000, since: now, at: now) == now + 1_000_000)
        #expect(pace.charged(now + 7, 1_000, since: now, at: now) == now + 1_000_007)
        // Half of a second at three quarters of the limit, told of at its end, leaves nothing behind.
        let began = now - 500_000_000
        #expect(pace.charged(0, 375_000, since: began, at: now) == began + 375_000_000)
        #expect(pace.charged(0, 0, since: now, at: now) == 0)
        for huge: UInt64 in [1_000_000_000, 1 << 60, .max] {
            #expect(pace.charged(0, huge, since: now, at: now) == now + 2_250_000_000)
        }
        // Never back.
        #expect(pace.charged(now + 9_000_000_000, 1, since: now, at: now) == now + 9_000_000_000)
    }
}
