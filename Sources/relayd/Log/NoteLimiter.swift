import Dispatch
import Synchronization

/// Keeps lines that outsiders can bring about to so many a second, for each kind of line; what was left out is counted
/// and told a while later.
final class NoteLimiter: Sendable {
    private struct Bucket {
        var tokens: Double
        var filledAt: DispatchTime
        var suppressed = 0
        var willTell = false
    }

    private let burst: Double
    private let linesPerSecond: Double
    private let delay: DispatchTimeInterval
    private let buckets = Mutex<[String: Bucket]>([:])
    private let queue = DispatchQueue(label: "relayd.log.limiter", qos: .utility)
    private let tell: @Sendable (_ event: String, _ count: Int) -> Void

    /// - Parameters:
    ///   - burst: lines of one kind at once.
    ///   - linesPerSecond: of one kind, in the long run.
    ///   - delay: how long suppressed lines are added up before they are told.
    ///   - tell: called with their number, on a queue of the limiter's own.
    init(
        burst: Int = 50, linesPerSecond: Int = 10, tellingAfter delay: DispatchTimeInterval = .seconds(10),
        tell: @escaping @Sendable (_ event: String, _ count: Int) -> Void
    ) {
        self.burst = Double(burst)
        self.linesPerSecond = Double(linesPerSecond)
        self.delay = delay
        self.tell = tell
    }

    /// Whether another line of this kind may be written now.
    func admits(_ event: String, at now: DispatchTime = .now()) -> Bool {
        let (isAdmitted, mustSchedule) = buckets.withLock { buckets in
            var bucket = buckets[event] ?? Bucket(tokens: burst, filledAt: now)
            defer { buckets[event] = bucket }
            let seconds = Double(now.uptimeNanoseconds &- bucket.filledAt.uptimeNanoseconds) / 1e9
            // Threads may come here in another order than they looked at the clock.
            if now > bucket.filledAt {
                bucket.tokens = min(burst, bucket.tokens + seconds * linesPerSecond)
                bucket.filledAt = now
            }
            guard bucket.tokens < 1 else {
                bucket.tokens -= 1
                return (true, false)
            }
            bucket.suppressed += 1
            defer { bucket.willTell = true }
            return (false, !bucket.willTell)
        }
        if mustSchedule { queue.asyncAfter(deadline: .now() + delay) { self.report(event) } }
        return isAdmitted
    }

    private func report(_ event: String) {
        let count = buckets.withLock { buckets in
            let count = buckets[event]?.suppressed ?? 0
            buckets[event]?.suppressed = 0
            buckets[event]?.willTell = false
            return count
        }
        if count > 0 { tell(event, count) }
    }
}
