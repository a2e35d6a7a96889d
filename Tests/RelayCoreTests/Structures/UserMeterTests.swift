import Testing

@testable import RelayCore

/// The buckets that all workers count one user in.
@Suite struct UserMeterTests {
    private static let now: UInt64 = 1_000_000_000_000
    /// A byte takes a microsecond, and a burst is 250,000 bytes.
    private static let fast = Paces(RateLimit(bitsPerSecond: 8_000_000))

    @Test("Threads that count at once let through one burst together, to the datagram")
    func threads() async {
        let meter = UserMeter(id: MeterID(rawValue: 7))
        let passed = await withTaskGroup(of: Int.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    (0..<1_000).count { _ in meter.buckets.take(.toClient, 100, Self.fast, at: Self.now) }
                }
            }
            return await group.reduce(0, +)
        }
        #expect(passed == 2_500)
        #expect(meter.buckets.id == MeterID(rawValue: 7))
    }

    @Test("What one bucket refuses is given back to the other")
    func refunds() {
        let meter = UserMeter(id: MeterID(rawValue: 1))
        let both = Paces(RateLimit(bitsPerSecond: 8_000_000, packetsPerSecond: 100))
        let passed = (0..<100).count { _ in meter.buckets.take(.toPeer, 1_000, both, at: Self.now) }
        #expect(passed == 64)
        let left = (0..<300).count { _ in meter.buckets.take(.toPeer, 1_000, Self.fast, at: Self.now) }
        #expect(left == 250 - 64)
    }

    @Test("It is full again when the time of what it counted has passed, in every bucket")
    func fullness() {
        let meter = UserMeter(id: MeterID(rawValue: 1))
        #expect(meter.isFull(at: Instant(nanoseconds: 0)))
        #expect(meter.buckets.take(.toPeer, 1_000, Self.fast, at: Self.now))
        meter.buckets.charge(.toClient, byteCount: 2_000, packetCount: 2, Self.fast, since: Self.now, at: Self.now)
        #expect(!meter.isFull(at: Instant(nanoseconds: Self.now + 1_999_999)))
        #expect(meter.isFull(at: Instant(nanoseconds: Self.now + 2_000_000)))
    }
}
