import PlaneTestKit
import STUN
import TestSeed
import Testing

@testable import PlaneKit

/// What the kernel would not cut is remembered where it happened, and not for ever.
@Suite struct SegmentLimitsTests {
    private static let second: UInt64 = 1_000_000_000
    private static let one = TransportAddress("192.0.2.1", 0).ip
    private static let other = TransportAddress("2001:db8::1", 0).ip

    @Test func aLimitIsOfOneDestinationAndEnds() {
        var limits = SegmentLimits()
        var isConcerned = limits.isConcerned
        #expect(!isConcerned)
        limits.lower(to: Self.one, below: 1_400, atNanoseconds: 100 * Self.second)
        isConcerned = limits.isConcerned
        #expect(isConcerned)
        expect(limits.limit(to: Self.one, atNanoseconds: 101 * Self.second), 1_399)
        expect(limits.limit(to: Self.other, atNanoseconds: 101 * Self.second), SegmentLimits.none)
        limits.lower(to: Self.other, below: 500, atNanoseconds: 103 * Self.second)
        limits.lower(to: Self.other, below: 900, atNanoseconds: 103 * Self.second)
        expect(limits.limit(to: Self.other, atNanoseconds: 106 * Self.second), 499)
        expect(limits.limit(to: Self.one, atNanoseconds: 106 * Self.second), SegmentLimits.none)
        expect(limits.limit(to: Self.other, atNanoseconds: 109 * Self.second), SegmentLimits.none)
        isConcerned = limits.isConcerned
        #expect(!isConcerned)
    }

    @Test func aDestinationNeverHasTheLimitOfAnother() {
        var generator = SeededGenerator()
        var limits = SegmentLimits()
        var sizes: [IPAddress: Int] = [:]
        for _ in 0..<2_000 {
            let address = IPAddress(v4: UInt32.random(in: 0 ... .max, using: &generator))
            let size = Int.random(in: 100...1_500, using: &generator)
            sizes[address] = size - 1
            limits.lower(to: address, below: size, atNanoseconds: Self.second)
        }
        var kept = 0
        for (address, size) in sizes {
            let limit = limits.limit(to: address, atNanoseconds: 2 * Self.second)
            #expect(limit == size || limit == SegmentLimits.none, "\(generator)")
            if limit == size { kept += 1 }
        }
        // About 1,580: where 2,000 meet 4,096 places, the later of two that share one takes it.
        #expect(kept > 1_400 && kept < 2_000, "\(kept), \(generator)")
    }

    @Test func aPauseEndsWheneverItBegan() {
        var generator = SeededGenerator()
        for _ in 0..<1_000 {
            let start = UInt64.random(in: 0...1 << 60, using: &generator)
            var pause = SegmentationPause()
            expect(pause.lasts(atNanoseconds: start), false, generator)
            pause.begin(atNanoseconds: start)
            #expect(pause.isConcerned, "\(generator)")
            expect(pause.lasts(atNanoseconds: start), true, generator)
            expect(pause.lasts(atNanoseconds: start + 4 * Self.second), true, generator)
            expect(pause.lasts(atNanoseconds: start + 13 * Self.second), false, generator)
            #expect(!pause.isConcerned, "\(generator)")
        }
    }

    private func expect<Value: Equatable & Sendable>(
        _ found: Value, _ expected: Value, _ generator: SeededGenerator? = nil,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(
            found == expected, "\(generator.map { "\($0)" } ?? "")", sourceLocation: sourceLocation)
    }
}
