public import RelayCore

/// How long the turns of a worker's loop took that had something to do: from the clock's reading after `receive` to the
/// end of `flush`. What comes meanwhile waits for so long.
@frozen
public struct TurnTimes: Sendable, BitwiseCopyable {
    public private(set) var count: UInt64 = 0
    /// All of them together.
    public private(set) var busyNanoseconds: UInt64 = 0

    private var longestNow: UInt64 = 0
    private var longestBefore: UInt64 = 0
    private var windowEnds = Instant(nanoseconds: 0)

    @usableFromInline static var windowMilliseconds: UInt64 { 1000 }

    @inlinable
    public init() {}

    mutating func add(from start: Instant, to end: Instant) {
        let nanoseconds = end.nanoseconds &- start.nanoseconds
        count &+= 1
        busyNanoseconds &+= nanoseconds
        if start >= windowEnds {
            let isNext = start < windowEnds.advanced(byMilliseconds: Self.windowMilliseconds)
            longestBefore = isNext ? longestNow : 0
            longestNow = 0
            windowEnds = start.advanced(byMilliseconds: Self.windowMilliseconds)
        }
        longestNow = max(longestNow, nanoseconds)
    }

    /// The longest turn of the last second, or up to a second more.
    public func longestNanoseconds(at now: Instant) -> UInt64 {
        if now < windowEnds { return max(longestBefore, longestNow) }
        return now < windowEnds.advanced(byMilliseconds: Self.windowMilliseconds) ? longestNow : 0
    }
}
