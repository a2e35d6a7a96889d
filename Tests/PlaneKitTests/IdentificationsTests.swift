import PlaneTestKit
import STUN
import TestSeed
import Testing

@testable import PlaneKit

@Suite struct IdentificationsTests {
    @Test func noneComesAgainSoon() {
        var generator = SeededGenerator()
        let destinations = (0..<50).map { _ in IPAddress(v4: UInt32.random(in: 0 ... .max, using: &generator)) }
        var identifications = Identifications()
        for destination in destinations {
            let taken = (0..<8_000).map { _ in identifications.next(to: destination) }
            #expect(!taken.contains(0), "\(generator)")
            // Zero is skipped by standing for one, which may then come twice.
            #expect(Set(taken).count >= 7_999, "\(generator)")
        }
    }

    @Test func theyTellLittle() {
        let destination = IPAddress(v4: 0xC633_6401)
        func steps() -> [UInt16] {
            var identifications = Identifications()
            let taken = (0..<100).map { _ in identifications.next(to: destination) }
            return zip(taken, taken.dropFirst()).map { $1 &- $0 }
        }
        // Equal once in 8 to the power of 99 runs.
        #expect(steps() != steps())
    }
}
