import STUN
import Testing

@testable import RelayCore

@Suite struct TokenBucketsTests {
    static let second: UInt64 = 1_000_000_000

    /// A bucket as one would write it down: tokens that trickle in up to a burst, in nanoseconds of credit.
    private struct NaiveBucket {
        var credit: UInt64
        var updated: UInt64 = 0

        mutating func take(at now: UInt64, perToken: UInt64, burst: UInt64) -> Bool {
            credit = min(burst * perToken, credit + (now - updated))
            updated = now
            guard credit >= perToken else { return false }
            credit -= perToken
            return true
        }
    }

    @Test("Few sources get what buckets of their own would give", arguments: [(1, 1), (10, 5), (1_000, 1), (3, 40)])
    func agreesWithNaiveBuckets(rate: UInt32, burst: UInt32) {
        var generator = SplitMix64(seed: structureSeed ^ UInt64(rate))
        // Four sources at most share a set, so six in 16,384 buckets have one each (unless five hashes meet).
        var buckets = TokenBuckets(ratePerSecond: rate, burst: burst, seed: structureSeed)
        let perToken = Self.second / UInt64(rate)
        var naive = [NaiveBucket](repeating: NaiveBucket(credit: UInt64(burst) * perToken), count: 6)
        var now: UInt64 = 0
        for step in 0..<20_000 {
            now += UInt64.random(in: 0...perToken, using: &generator)
            if step % 500 == 0 { now += UInt64(burst) * perToken * 2 }
            let source = Int.random(in: 0..<6, using: &generator)
            let address =
                source < 3 ? IPAddress(v4: UInt32(source)) : IPAddress(v6High: UInt64(source), low: generator.next())
            let taken = buckets.take(address, at: Instant(nanoseconds: now))
            guard taken == naive[source].take(at: now, perToken: perToken, burst: UInt64(burst)) else {
                Issue.record("step \(step), source \(source), \(structureSeedNote)")
                return
            }
        }
    }

    @Test("A source that asks all the time gets its rate and one burst")
    func sustainedRate() {
        var buckets = TokenBuckets(ratePerSecond: 10, burst: 20, seed: 1)
        let source = IPAddress(v4: 0xC000_0201)
        var granted = 0
        for millisecond in 0..<60_000 as Range<UInt64> {
            if buckets.take(source, at: Instant(nanoseconds: millisecond * 1_000_000)) { granted += 1 }
        }
        #expect((618...620).contains(granted))
    }

    @Test("An IPv6 /64 is one source, an IPv4 address another each")
    func prefixes() {
        var buckets = TokenBuckets(ratePerSecond: 1, burst: 1, seed: 1)
        let now = Instant(nanoseconds: 5 * Self.second)
        #expect(buckets.take(IPAddress(v6High: 1, low: 1), at: now) == true)
        #expect(buckets.take(IPAddress(v6High: 1, low: 2), at: now) == false)
        #expect(buckets.take(IPAddress(v6High: 2, low: 1), at: now) == true)
        #expect(buckets.take(IPAddress(v4: 1), at: now) == true)
        #expect(buckets.take(IPAddress(v4: 2), at: now) == true)
        #expect(buckets.take(IPAddress(v4: 1), at: now) == false)
    }

    @Test("Rate 0 is no limit")
    func unlimited() {
        var buckets = TokenBuckets(ratePerSecond: 0, burst: 1, seed: 1)
        for _ in 0..<1_000 {
            #expect(buckets.take(IPAddress(v4: 1), at: Instant(nanoseconds: 0)) == true)
        }
    }

    @Test("A flood of sources gets no more than the buckets hold, and a victim in it no more than four buckets")
    func flood() {
        var generator = SplitMix64(seed: structureSeed)
        let bucketCount = 64
        let (rate, burst, seconds) = (10, 5, 10)
        var buckets = TokenBuckets(
            ratePerSecond: UInt32(rate), burst: UInt32(burst), bucketCount: bucketCount, seed: structureSeed)
        let victim = IPAddress(v4: 0xC000_0201)
        var (granted, toVictim) = (0, 0)
        for step in 0..<200_000 as Range<UInt64> {
            let now = Instant(nanoseconds: step * UInt64(seconds) * Self.second / 200_000)
            let source = step % 10 == 0 ? victim : IPAddress(v4: UInt32.random(in: 0...(.max), using: &generator))
            guard buckets.take(source, at: now) else { continue }
            granted += 1
            if source == victim { toVictim += 1 }
        }
        let most = rate * seconds + burst
        #expect(granted <= bucketCount * most, "\(structureSeedNote)")
        // All buckets are in use, so nothing is lost to the sharing either.
        #expect(granted >= bucketCount * rate * seconds * 9 / 10, "\(structureSeedNote)")
        #expect(toVictim <= 4 * most, "\(structureSeedNote)")
    }
}
