import STUN

/// Destinations to which the kernel would not cut large datagrams out of one message, most likely since the device on the
/// way has a smaller MTU: runs of such datagrams go one by one for some seconds, those to everybody else do not.
struct SegmentLimits: ~Copyable {
    /// What is worth a try with GSO.
    static let none = 65_000
    /// Places, 2^12 of them, at 32 bytes each 128 KB.
    private static let capacity = 1 << placeBits
    private static let placeBits = 12
    private static let lifetimeNanoseconds: UInt64 = 5_000_000_000

    struct Entry: BitwiseCopyable {
        var destination = IPAddress(v4: 0)
        var limit: UInt16 = 0
        var endsAtNanoseconds: UInt64 = 0
    }

    /// Each destination has one place; one that comes later takes it. A single place, never looked at, until there is a
    /// limit to anything: most workers meet none.
    private var entries = FixedBuffer(repeating: Entry(), count: 1)
    private var lastEndsAtNanoseconds: UInt64 = 0

    /// Whether there may be a limit to anything, so that the clock is worth a look.
    var isConcerned: Bool { lastEndsAtNanoseconds != 0 }

    /// The largest datagram, in bytes, that is worth a try in a run to `destination`.
    mutating func limit(to destination: IPAddress, atNanoseconds now: UInt64) -> Int {
        guard now < lastEndsAtNanoseconds else {
            lastEndsAtNanoseconds = 0
            return Self.none
        }
        let entry = entries[Self.place(of: destination)]
        return entry.destination == destination && now < entry.endsAtNanoseconds ? Int(entry.limit) : Self.none
    }

    /// A run of datagrams of so many bytes was refused.
    mutating func lower(to destination: IPAddress, below byteCount: Int, atNanoseconds now: UInt64) {
        let limit = min(limit(to: destination, atNanoseconds: now), byteCount - 1)
        if entries.count < Self.capacity { entries = FixedBuffer(repeating: Entry(), count: Self.capacity) }
        lastEndsAtNanoseconds = now + Self.lifetimeNanoseconds
        entries[Self.place(of: destination)] = Entry(
            destination: destination, limit: UInt16(clamping: limit), endsAtNanoseconds: lastEndsAtNanoseconds)
    }

    private static func place(of destination: IPAddress) -> Int {
        Int(((destination.high ^ destination.low) &* 0x9E37_79B9_7F4A_7C15) >> UInt64(64 - placeBits))
    }
}

/// For some seconds nothing that leaves by a socket is put together: the kernel cannot cut what it sends (no checksums).
/// Two bytes, as a socket's state is half a cache line.
struct SegmentationPause: BitwiseCopyable {
    /// In units of 2^32 ns, 4.3 s; 0 for none.
    private var endsAt: UInt16 = 0
    private static let units: UInt16 = 2

    /// Whether there may be one, so that the clock is worth a look.
    var isConcerned: Bool { endsAt != 0 }

    mutating func begin(atNanoseconds now: UInt64) {
        endsAt = Self.unit(of: now) &+ Self.units
        if endsAt == 0 { endsAt = 1 }
    }

    /// Whether it lasts.
    mutating func lasts(atNanoseconds now: UInt64) -> Bool {
        guard endsAt != 0 else { return false }
        // The unit counts round in three days: far off is long past.
        if (1...Self.units + 1).contains(endsAt &- Self.unit(of: now)) { return true }
        endsAt = 0
        return false
    }

    private static func unit(of nanoseconds: UInt64) -> UInt16 { UInt16(truncatingIfNeeded: nanoseconds >> 32) }
}
