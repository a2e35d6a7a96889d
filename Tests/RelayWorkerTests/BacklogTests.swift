import RelayCore
import Testing

@testable import RelayWorker

/// When a worker says that it is behind.
@Suite struct BacklogTests {
    private final class Script {
        private(set) var backlog = Backlog()
        private(set) var events: [Backlog.Event] = []

        /// One batch of at most 64, so many milliseconds after the start.
        func turn(_ count: Int, at milliseconds: UInt64) -> Bool {
            let now = Instant(nanoseconds: 0).advanced(byMilliseconds: milliseconds)
            if backlog.isConcerned(by: count, of: 64), let event = backlog.note(count, of: 64, at: now) {
                events.append(event)
            }
            return backlog.isBehind
        }

        /// One batch a millisecond; whether the worker was behind at the end.
        func turns(_ count: Int, _ times: ClosedRange<UInt64>) -> Bool {
            times.map { turn(count, at: $0) }.last ?? false
        }
    }

    @Test func batchesThatAreHalfFullForFiftyMillisecondsAreABacklog() {
        let script = Script()
        #expect(!script.turns(32, 0...49))
        #expect(script.events.isEmpty)
        #expect(script.turn(32, at: 50))
        #expect(script.events == [.began])
    }

    @Test func aBreakBeginsAnew() {
        let script = Script()
        #expect(!script.turns(64, 0...49))
        #expect(!script.turn(31, at: 50))
        #expect(script.backlog.deadline == nil)
        #expect(!script.turns(64, 51...100))
        #expect(script.turn(64, at: 101))
    }

    @Test func itEndsByItselfAndIsToldOnce() {
        let script = Script()
        #expect(script.turns(64, 0...100))
        // 250 ms after the last full batch.
        #expect(script.turns(1, 101...349))
        #expect(script.backlog.deadline == Instant(nanoseconds: 350_000_000))
        #expect(!script.turn(0, at: 350))
        // The flood goes on: behind again, sooner, and nothing is told.
        #expect(!script.turns(64, 351...360))
        #expect(script.turn(64, at: 361))
        #expect(!script.turn(0, at: 611))
        #expect(script.backlog.deadline == Instant(nanoseconds: 10_361_000_000))
        #expect(!script.turn(0, at: 10_360))
        #expect(script.events == [.began])
        #expect(!script.turn(0, at: 10_361))
        #expect(script.events == [.began, .ended(milliseconds: 311)])
        #expect(script.backlog.deadline == nil)
        // The next one is another.
        #expect(!script.turns(64, 11_000...11_049))
        #expect(script.turn(64, at: 11_050))
        #expect(script.events.count == 3)
    }

    @Test func nothingIsTakenInWhileThereIsNothingToSay() {
        var backlog = Backlog()
        #expect(!backlog.isConcerned(by: 31, of: 64))
        #expect(backlog.isConcerned(by: 32, of: 64))
        _ = backlog.note(32, of: 64, at: Instant(nanoseconds: 0))
        #expect(backlog.isConcerned(by: 0, of: 64))
        _ = backlog.note(0, of: 64, at: Instant(nanoseconds: 1))
        #expect(!backlog.isConcerned(by: 0, of: 64))
    }
}
