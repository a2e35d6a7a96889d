/// A point on the monotonic clock, in nanoseconds since an origin that only the clock knows.
@frozen
public struct Instant: Sendable, Hashable, Comparable, BitwiseCopyable {
    public let nanoseconds: UInt64

    @inlinable
    public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    @inlinable
    public static func < (left: Instant, right: Instant) -> Bool { left.nanoseconds < right.nanoseconds }

    /// Whole seconds since the clock's origin.
    @inlinable
    public var seconds: UInt64 { nanoseconds / 1_000_000_000 }

    /// This instant, `seconds` later.
    @inlinable
    public func advanced(bySeconds seconds: UInt32) -> Instant {
        Instant(nanoseconds: nanoseconds &+ UInt64(seconds) &* 1_000_000_000)
    }

    /// This instant, `milliseconds` later.
    @inlinable
    public func advanced(byMilliseconds milliseconds: UInt64) -> Instant {
        Instant(nanoseconds: nanoseconds &+ milliseconds &* 1_000_000)
    }

    /// Whole seconds from this instant to a later one, rounded up; zero when `later` has passed.
    @inlinable
    public func secondsUntil(_ later: Instant) -> UInt32 {
        guard later.nanoseconds > nanoseconds else { return 0 }
        return UInt32(clamping: (later.nanoseconds &- nanoseconds &+ 999_999_999) / 1_000_000_000)
    }
}

/// What the clocks say, read once per turn of the loop and handed to the core: it owns no clock.
@frozen
public struct Moment: Sendable, BitwiseCopyable {
    /// The monotonic clock: every timer of the core.
    public var monotonic: Instant
    /// Seconds since 1970 on the wall clock: the expiry of time-limited credentials, nothing else.
    public var wallSeconds: UInt64

    @inlinable
    public init(monotonic: Instant, wallSeconds: UInt64) {
        self.monotonic = monotonic
        self.wallSeconds = wallSeconds
    }
}
