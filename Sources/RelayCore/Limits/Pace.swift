/// One rate as a bucket needs it: the generic cell rate algorithm (ITU-T I.371), with one time a bucket.
///
/// A bucket's time says when it is full again. What passes moves it on by the time that it takes at the limit, and
/// nothing passes that would move it further ahead of now than the burst.
public struct Pace: Sendable, Hashable, BitwiseCopyable {
    /// Nanoseconds a unit, as 48.16 fixed point, rounded up; 0: no limit.
    public let interval: UInt64
    /// How far ahead of now a bucket's time may lie, in nanoseconds.
    public let burstNanoseconds: UInt64

    static let none = Pace(interval: 0, leastBurst: 0)

    /// Bytes at so many bits a second; 0: no limit.
    static func bytes(bitsPerSecond: UInt64) -> Pace {
        Pace(
            interval: interval(unitsOfASecond: 8_000_000_000, bitsPerSecond), leastBurst: RateLimit.leastBurstByteCount)
    }

    /// Datagrams; 0: no limit.
    static func packets(perSecond: UInt64) -> Pace {
        Pace(interval: interval(unitsOfASecond: 1_000_000_000, perSecond), leastBurst: RateLimit.leastBurstPacketCount)
    }

    private init(interval: UInt64, leastBurst: UInt64) {
        self.interval = interval
        burstNanoseconds = max(RateLimit.burstMilliseconds * 1_000_000, (leastBurst * interval) >> 16)
    }

    private static func interval(unitsOfASecond: UInt64, _ rate: UInt64) -> UInt64 {
        rate == 0 ? 0 : ((unitsOfASecond << 16) + rate - 1) / rate
    }

    /// The bucket's time after `amount` units have passed, of one datagram; nothing if they may not.
    @inline(__always)
    func next(_ time: UInt64, _ amount: UInt64, at now: UInt64) -> UInt64? {
        guard interval != 0 else { return time }
        let next = max(time, now) &+ (amount &* interval) >> 16
        return next &- now <= burstNanoseconds ? next : nil
    }

    /// How far beyond its burst a bucket can be charged: see ``charged(_:_:since:at:)``.
    static let debtNanoseconds: UInt64 = 2_000_000_000

    /// The bucket's time after `amount` units have passed somewhere else between `since` and now, whether they might or
    /// not. It is kept within two seconds of the burst, so that whoever is limited is never silenced for longer.
    func charged(_ time: UInt64, _ amount: UInt64, since: UInt64, at now: UInt64) -> UInt64 {
        guard interval != 0, amount != 0 else { return time }
        let product = amount.multipliedFullWidth(by: interval)
        let increment = product.high >> 16 == 0 ? product.high << 48 | product.low >> 16 : UInt64.max
        let (next, isOver) = max(time, since).addingReportingOverflow(increment)
        return max(time, min(isOver ? .max : next, now + burstNanoseconds + Self.debtNanoseconds))
    }
}

/// Both paces of a ``RateLimit``.
public struct Paces: Sendable, Hashable, BitwiseCopyable {
    public let bytes: Pace
    public let packets: Pace

    public init(_ limit: RateLimit) {
        bytes = .bytes(bitsPerSecond: limit.bitsPerSecond)
        packets = .packets(perSecond: limit.packetsPerSecond)
    }

    var isNone: Bool { bytes.interval == 0 && packets.interval == 0 }
}
