import Testing

@testable import RelayCore

@Suite struct TimerWheelTests {
    static let tick = TimerWheel.tickMilliseconds * 1_000_000
    /// What the wheel holds at once: 16,384 ticks.
    static let horizon = 16_384 * tick

    private func instant(_ nanoseconds: UInt64) -> Instant { Instant(nanoseconds: nanoseconds) }

    /// The entries in a plain array: what must fire by now, and what may.
    private struct Model {
        var entries: [UInt64: UInt64] = [:]

        /// Due one tick ago or more, or in a tick that is over.
        func overdue(at now: UInt64) -> Set<UInt64> {
            Set(entries.filter { ($0.value + tick - 1) / tick <= now / tick }.keys)
        }
    }

    @Test("Random schedules and clocks agree with an array", arguments: [0 as UInt64, 1_000_000_000_000_000])
    func agreesWithArray(start: UInt64) throws {
        var generator = SplitMix64(seed: structureSeed ^ start)
        // The wheel's clock stands at zero, the first look at the clock may be far on.
        var wheel = TimerWheel()
        var model = Model()
        var now = start
        var token: UInt64 = 0
        for step in 0..<20_000 {
            for _ in 0..<Int.random(in: 0..<8, using: &generator) {
                let due = randomDue(after: now, using: &generator)
                wheel.schedule(token, at: instant(due))
                model.entries[token] = due
                token += 1
            }
            now += randomStep(using: &generator)
            let overdue = model.overdue(at: now)
            let fired = popAll(&wheel, at: now)
            let early = fired.filter { (model.entries[$0] ?? .max) > now }
            guard early.isEmpty, overdue.isSubset(of: fired), Set(fired).count == fired.count else {
                Issue.record("step \(step): early \(early), late \(overdue.subtracting(fired)), \(structureSeedNote)")
                return
            }
            for token in fired { model.entries[token] = nil }
            guard wheel.count == model.entries.count, deadlineFits(wheel.deadline, model, now) else {
                Issue.record("step \(step): deadline \(String(describing: wheel.deadline)), \(structureSeedNote)")
                return
            }
        }
        #expect(token > 50_000)
    }

    /// Everything due now, at most as many as are pending.
    private func popAll(_ wheel: inout TimerWheel, at now: UInt64) -> [UInt64] {
        var fired: [UInt64] = []
        for _ in 0..<wheel.count {
            guard let token = wheel.popDue(instant(now)) else { break }
            fired.append(token)
        }
        return fired
    }

    /// The deadline lies ahead, and not after the tick in which the first entry is due.
    private func deadlineFits(_ deadline: Instant?, _ model: Model, _ now: UInt64) -> Bool {
        guard let first = model.entries.values.min() else { return deadline == nil }
        guard let deadline else { return false }
        return deadline.nanoseconds > now && deadline.nanoseconds <= (first + Self.tick - 1) / Self.tick * Self.tick
    }

    private func randomDue(after now: UInt64, using generator: inout SplitMix64) -> UInt64 {
        switch Int.random(in: 0..<8, using: &generator) {
        case 0: now - min(now, UInt64.random(in: 0...10 * Self.tick, using: &generator))
        case 1: now + UInt64.random(in: 0...3 * Self.horizon, using: &generator)
        case 2: now + Self.horizon - Self.tick + UInt64.random(in: 0...2 * Self.tick, using: &generator)
        case 3: now / Self.tick * Self.tick + Self.tick * UInt64.random(in: 0...20, using: &generator)
        default: now + UInt64.random(in: 0...100 * Self.tick, using: &generator)
        }
    }

    private func randomStep(using generator: inout SplitMix64) -> UInt64 {
        switch Int.random(in: 0..<400, using: &generator) {
        case 0: UInt64.random(in: 0...3 * Self.horizon, using: &generator)
        case 1: Self.horizon
        case 2..<40: UInt64.random(in: 0...200 * Self.tick, using: &generator)
        default: UInt64.random(in: 0...2 * Self.tick, using: &generator)
        }
    }

    @Test("An entry fires at its deadline, not a nanosecond before")
    func firesAtDeadline() {
        let hour: UInt64 = 3_600 * 1_000_000_000
        let dues = [1, Self.tick - 1, Self.tick, Self.tick + 1, hour, Self.horizon - Self.tick]
        for due in dues {
            var wheel = TimerWheel()
            wheel.schedule(7, at: instant(due))
            let deadline = wheel.deadline?.nanoseconds ?? 0
            #expect(deadline >= due && deadline - due < Self.tick)
            #expect(wheel.popDue(instant(deadline - 1)) == nil)
            #expect(wheel.popDue(instant(deadline)) == 7)
            #expect(wheel.popDue(instant(deadline)) == nil)
            #expect(wheel.deadline == nil)
        }
    }

    @Test("Ticks fire in order, and a tick's entries as they were scheduled")
    func keepsOrder() {
        var wheel = TimerWheel(start: instant(5 * Self.tick))
        for (token, tick) in [(1, 9), (2, 7), (3, 9), (4, 8), (5, 7), (6, 4)] as [(UInt64, UInt64)] {
            wheel.schedule(token, at: instant(tick * Self.tick))
        }
        #expect(popAll(&wheel, at: 9 * Self.tick) == [6, 2, 5, 4, 1, 3])
    }

    @Test("An entry beyond the horizon waits for its time, however the clock gets there")
    func waitsBeyondHorizon() {
        let due = 3 * Self.horizon + 5 * Self.tick
        var jumping = TimerWheel()
        jumping.schedule(1, at: instant(due))
        #expect(jumping.popDue(instant(due - 1)) == nil)
        #expect(jumping.deadline == instant(due))
        #expect(jumping.popDue(instant(due)) == 1)

        var stepping = TimerWheel()
        stepping.schedule(1, at: instant(due))
        var looks = 0
        while let deadline = stepping.deadline, deadline < instant(due) {
            #expect(stepping.popDue(deadline) == nil)
            looks += 1
            guard looks < 10 else { break }
        }
        #expect(looks == 3)
        #expect(stepping.popDue(instant(due)) == 1)
    }

    @Test("A clock that steps back fires nothing early")
    func clockStepsBack() {
        var wheel = TimerWheel()
        #expect(wheel.popDue(instant(100 * Self.tick)) == nil)
        wheel.schedule(1, at: instant(102 * Self.tick))
        #expect(wheel.popDue(instant(1)) == nil)
        #expect(wheel.popDue(instant(101 * Self.tick)) == nil)
        #expect(wheel.popDue(instant(102 * Self.tick)) == 1)
    }
}
