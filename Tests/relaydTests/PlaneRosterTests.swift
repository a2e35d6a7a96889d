import RelayWorker
import Testing

@testable import relayd

@Suite("Which worker runs on which plane")
struct PlaneRosterTests {
    private static let reason = PlaneError(what: "The ring died", why: "scripted", mend: "None needed.")

    /// Three workers that run on the first of these planes.
    private func roster(_ order: [String]) -> PlaneRoster {
        var roster = PlaneRoster(order: order, workers: 3)
        for worker in 0..<3 { _ = roster.started(worker, on: order[0]) }
        return roster
    }

    @Test("A start is done when the last worker runs")
    func start() {
        var roster = PlaneRoster(order: ["xdp", "socket"], workers: 3)
        #expect(roster.started(0, on: "xdp") == .nothing)
        #expect(roster.started(2, on: "xdp") == .nothing)
        #expect(!roster.isSettled)
        #expect(roster.started(1, on: "xdp") == .settled)
        #expect(roster.isSettled && roster.cause == .start)
        #expect(roster.workersByPlane == ["xdp": 3])
    }

    @Test("A plane that fails on one worker is left by all")
    func fallback() {
        var roster = roster(["xdp", "io-uring", "socket"])
        #expect(roster.failed(1, on: "xdp", Self.reason) == .move(workers: [0, 2]))
        #expect(roster.current == "io-uring" && roster.cause == .fallback)
        #expect(roster.failures == [.init(plane: "xdp", reason: Self.reason)])
        #expect(roster.started(1, on: "io-uring") == .nothing)
        #expect(roster.started(0, on: "io-uring") == .nothing)
        #expect(roster.started(2, on: "io-uring") == .settled)
    }

    @Test("The same failure on the other workers is no second one")
    func sharedFailure() {
        var roster = roster(["xdp", "socket"])
        #expect(roster.failed(0, on: "xdp", Self.reason) == .move(workers: [1, 2]))
        #expect(roster.failed(1, on: "xdp", Self.reason) == .nothing)
        #expect(roster.order == ["socket"])
        for worker in 0..<2 { #expect(roster.started(worker, on: "socket") == .nothing) }
        #expect(roster.started(2, on: "socket") == .settled)
    }

    @Test("A plane that fails while others are still on their way to it takes them along to the next")
    func failureDuringAChange() {
        var roster = roster(["socket"])
        roster.change(to: ["io-uring", "socket"], cause: .swap)
        #expect(roster.cause == .swap && !roster.isSettled)
        #expect(roster.started(0, on: "io-uring") == .nothing)
        #expect(roster.failed(1, on: "io-uring", Self.reason) == .move(workers: [0, 2]))
        // It had not read the second letter yet.
        #expect(roster.started(2, on: "io-uring") == .nothing)
        for worker in 0..<2 { #expect(roster.started(worker, on: "socket") == .nothing) }
        #expect(roster.started(2, on: "socket") == .settled)
        #expect(roster.current == "socket" && roster.cause == .fallback)
    }

    @Test("The failure of the last plane leaves nothing to move to")
    func last() {
        var roster = roster(["socket"])
        #expect(roster.failed(0, on: "socket", Self.reason) == .nothing)
        #expect(roster.failures.count == 1)
    }

    @Test("Nobody waits for a worker that has ended")
    func ended() {
        var roster = roster(["xdp", "socket"])
        #expect(roster.ended(0) == .nothing)
        #expect(roster.failed(1, on: "xdp", Self.reason) == .move(workers: [2]))
        #expect(roster.started(1, on: "socket") == .nothing)
        #expect(roster.ended(2) == .settled)
        #expect(roster.workersByPlane == ["socket": 1])
    }

    @Test("A change that was asked for forgets the failures before it")
    func forgets() {
        var roster = roster(["xdp", "socket"])
        _ = roster.failed(0, on: "xdp", Self.reason)
        for worker in 0..<3 { _ = roster.started(worker, on: "socket") }
        roster.change(to: ["xdp", "socket"], cause: .swap)
        #expect(roster.failures.isEmpty)
        for worker in 0..<3 { _ = roster.started(worker, on: "xdp") }
        #expect(roster.isSettled && roster.workersByPlane == ["xdp": 3])
    }

    @Test("A plane that gets ready after the start comes first, unless somebody asked for another one meanwhile")
    func latecomer() {
        var roster = roster(["io-uring", "socket"])
        #expect(roster.order(beginningWith: "xdp") == ["xdp", "io-uring", "socket"])
        _ = roster.failed(0, on: "io-uring", Self.reason)
        #expect(roster.order(beginningWith: "xdp") == ["xdp", "socket"])
        roster.change(to: ["xdp", "socket"], cause: .start)
        #expect(roster.cause == .start && !roster.isSettled)
        #expect(roster.order(beginningWith: "xdp") == nil)
        roster.change(to: ["socket", "xdp"], cause: .swap)
        #expect(roster.order(beginningWith: "xdp") == nil)
    }
}
