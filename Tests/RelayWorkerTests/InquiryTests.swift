import RelayCore
import STUN
import Synchronization
import Testing

@testable import RelayWorker

/// What a worker is asked about its sessions, and what it shows of its turns.
@Suite struct InquiryTests {
    private final class Answers: Sendable {
        private let list = Mutex<[SessionAnswer?]>([])

        var all: [SessionAnswer?] { list.withLock { $0 } }

        func add(_ answer: SessionAnswer?) { list.withLock { $0.append(answer) } }
    }

    @Test func oneQuestionIsAnsweredATurn() throws {
        let rig = try Rig()
        let answers = Answers()
        rig.client(1).demand(.allocate()) {
            for _ in 0..<3 {
                #expect(rig.link.post(Inquiry(.list(from: 0, SessionFilter())) { answers.add($0) }))
            }
            let steps = rig.world.steps
            rig.world.after(milliseconds: 50) {
                #expect(answers.all.count == 3)
                #expect(rig.world.steps >= steps + 3)
                #expect(!rig.link.hasMail)
                rig.link.stop()
            }
        }
        try rig.run()
        let pages = answers.all.compactMap { if case .page(let page)? = $0 { page } else { nil } }
        #expect(pages.map(\.sessions.count) == [1, 1, 1])
        #expect(pages.allSatisfy { $0.sessions[0].summary.username == "alice" })
        rig.expectNoProblems()
    }

    /// A plane that watches for edges, as a multishot poll does, has seen the signal of all questions with the first.
    @Test func aQuestionThatStillWaitsIsSignalledAgain() throws {
        let link = try WorkerLink()
        let answers = Answers()
        for _ in 0..<2 { #expect(link.post(Inquiry(.list(from: 0, SessionFilter())) { answers.add($0) })) }
        WakeDescriptor.drain(link.wakeDescriptor)
        #expect(!isReadable(link.wakeDescriptor))
        #expect(link.takeInquiry() != nil)
        #expect(link.hasMail && isReadable(link.wakeDescriptor))
        #expect(link.takeInquiry() != nil)
        #expect(!link.hasMail && !isReadable(link.wakeDescriptor))
    }

    @Test func aKickThatNobodyAwaitsAnyMoreKicksNobody() throws {
        let rig = try Rig()
        rig.client(1).demand(.allocate()) {
            let late = Inquiry(.kickAll(from: 0, SessionFilter())) { _ in }
            late.answer(nil)
            #expect(rig.link.post(late))
            rig.world.after(milliseconds: 50) { rig.link.stop() }
        }
        try rig.run()
        #expect(rig.relay.notes.ended.map(\.reason) == [.stopped])
    }

    @Test func aKickHasClosedTheSocketsWhenItIsAnswered() throws {
        let rig = try Rig()
        let answers = Answers()
        let openAtAnswer = Atomic(-1)
        let sockets = rig.world.sockets
        rig.client(1).demand(.allocate()) {
            #expect(sockets.open.count == 2)
            #expect(
                rig.link.post(
                    Inquiry(.kickAll(from: 0, SessionFilter(user: "alice"))) {
                        answers.add($0)
                        openAtAnswer.store(sockets.open.count, ordering: .relaxed)
                    }))
            rig.world.after(milliseconds: 50) { rig.link.stop() }
        }
        try rig.run()
        guard case .kicked(1, next: nil)?? = answers.all.first else {
            Issue.record("no kick: \(answers.all)")
            return
        }
        #expect(openAtAnswer.load(ordering: .relaxed) == 1)
        #expect(rig.relay.notes.ended.map(\.reason) == [.kicked])
        rig.expectNoProblems()
    }

    @Test func aWorkerThatIsGoneAnswersNothing() async throws {
        let rig = try Rig()
        let answers = Answers()
        rig.link.stop()
        for _ in 0..<2 { _ = rig.link.post(Inquiry(.list(from: 0, SessionFilter())) { answers.add($0) }) }
        try rig.run()
        #expect(answers.all.count == 2)
        guard case .none? = answers.all.last else {
            Issue.record("an answer without a worker")
            return
        }
        let late = await rig.link.ask(.list(from: 0, SessionFilter()))
        #expect(late == nil)
    }

    @Test func theLongestTurnIsRememberedForASecondOrTwo() {
        func at(_ milliseconds: UInt64) -> Instant { Instant(nanoseconds: 5_000_000_000 + milliseconds * 1_000_000) }
        var turns = TurnTimes()
        #expect(turns.longestNanoseconds(at: at(0)) == 0)
        turns.add(from: at(0), to: at(30))
        turns.add(from: at(500), to: at(520))
        #expect(turns.longestNanoseconds(at: at(600)) == 30_000_000)
        turns.add(from: at(1100), to: at(1101))
        #expect(turns.longestNanoseconds(at: at(1200)) == 30_000_000)
        turns.add(from: at(2150), to: at(2152))
        #expect(turns.longestNanoseconds(at: at(2200)) == 2_000_000)
        #expect(turns.longestNanoseconds(at: at(3200)) == 2_000_000)
        #expect(turns.longestNanoseconds(at: at(5200)) == 0)
        turns.add(from: at(9000), to: at(9004))
        #expect(turns.longestNanoseconds(at: at(9005)) == 4_000_000)
        #expect(turns.count == 5 && turns.busyNanoseconds == 57_000_000)
    }
}
