import STUN

/// Token buckets by source, in memory that never grows: how many answers a source gets without credentials.
///
/// A source is an IPv4 address or an IPv6 /64. Its bucket is one number, the instant at which the bucket is full
/// again; a take moves that instant on by the time of one token, and is refused where it would lie more than a burst
/// ahead. So a bucket that has filled up again holds nothing worth keeping.
///
/// Buckets stand in sets of four, chosen by a keyed hash. A source without a bucket takes over the one of its set that
/// is nearest to full, *with its debt*: however many sources somebody invents, a set hands out no more than four
/// buckets would, and pushing a victim's bucket out wins at most three more for it. Under such a flood, new sources
/// of a set go unanswered, which is what the limit is for.
struct TokenBuckets: ~Copyable {
    private static let waysPerSet = 4

    private struct Bucket {
        /// The keyed hash of the source, all 64 bits.
        var source: UInt64 = 0
        /// When the bucket is full again, in nanoseconds of the monotonic clock.
        var fullAt: UInt64 = 0
    }

    private var buckets: [Bucket]
    private let seed: UInt64
    private let nanosecondsPerToken: UInt64
    /// How far ahead ``Bucket/fullAt`` may lie for one more token to be there.
    private let nanosecondsOfBurst: UInt64

    /// Buckets that gain `ratePerSecond` tokens a second and hold `burst` of them.
    ///
    /// - Parameters:
    ///   - ratePerSecond: 0 for no limit, which takes no memory.
    ///   - burst: at least 1.
    ///   - bucketCount: a power of two, at least 4; a bucket takes 16 bytes.
    init(ratePerSecond: UInt32, burst: UInt32, bucketCount: Int = 16_384, seed: UInt64) {
        precondition(burst >= 1)
        precondition(bucketCount >= Self.waysPerSet && bucketCount & (bucketCount - 1) == 0)
        self.seed = seed
        nanosecondsPerToken = ratePerSecond == 0 ? 0 : max(1, 1_000_000_000 / UInt64(ratePerSecond))
        nanosecondsOfBurst = nanosecondsPerToken * UInt64(burst - 1)
        buckets = ratePerSecond == 0 ? [] : Array(repeating: Bucket(), count: bucketCount)
    }

    /// Takes a token of `source`'s bucket; false when there is none.
    mutating func take(_ source: IPAddress, at now: Instant) -> Bool {
        if buckets.isEmpty { return true }
        let hash = Self.hash(source, seed: seed)
        let index = bucketIndex(hash)
        let fullAt = max(buckets[index].fullAt, now.nanoseconds)
        guard fullAt - now.nanoseconds <= nanosecondsOfBurst else { return false }
        buckets[index] = Bucket(source: hash, fullAt: fullAt &+ nanosecondsPerToken)
        return true
    }

    /// The bucket of a source, or else the one in its set that is nearest to full.
    private func bucketIndex(_ hash: UInt64) -> Int {
        let first = Int(truncatingIfNeeded: hash) & (buckets.count - Self.waysPerSet)
        var fullest = first
        for index in first..<first + Self.waysPerSet {
            if buckets[index].source == hash { return index }
            if buckets[index].fullAt < buckets[fullest].fullAt { fullest = index }
        }
        return fullest
    }

    private static func hash(_ source: IPAddress, seed: UInt64) -> UInt64 {
        let prefix = source.family == .ipv4 ? source : IPAddress(v6High: source.high, low: 0)
        return flatHash(prefix, 0, seed: seed)
    }
}
