/// How many peers an allocation may newly name in a time: as many at once, and one more whenever its share of the time
/// has passed.
public struct PeerRate: Sendable, Hashable {
    /// Addresses that the allocation has no permission for yet; 0: no limit.
    public let count: UInt32
    public let seconds: UInt32

    /// - Parameter seconds: at least 1.
    public init(count: UInt32, seconds: UInt32) {
        precondition(seconds > 0)
        self.count = count
        self.seconds = seconds
    }

    public static let none = PeerRate(count: 0, seconds: 1)

    /// When the allowance is whole again after `new` more peers, if it was or will be at `time`; nothing if they are too
    /// many now.
    func next(_ time: Instant, _ new: Int, at now: Instant) -> Instant? {
        guard count > 0, new > 0 else { return time }
        let window = UInt64(seconds) * 1_000_000_000
        let interval = (window + UInt64(count) - 1) / UInt64(count)
        let next = max(time, now).nanoseconds + UInt64(new) * interval
        return next - now.nanoseconds <= interval * UInt64(count) ? Instant(nanoseconds: next) : nil
    }
}
