import Dispatch
import Glibc
import PlaneTestKit
import RelayCore
import STUN
import Synchronization
import Testing

@testable import RelayWorker

/// Whole workers on real planes, asked while nothing else wakes them.
@Suite(.serialized, .enabled(if: TestNamespace.isAllowed, "needs root and network namespaces"))
struct QuestionTests {
    /// What a kick closes must not keep the questions behind it waiting for traffic.
    @Test(arguments: PlaneStack.usable)
    func aQuestionBehindAKickIsAnswered(_ stack: PlaneStack) throws {
        let stage = try RelayStage(stack)
        for round in 0..<5 {
            for _ in 0..<8 { try StageClient(stage, .ipv4).allocate(.ipv4) }
            // Until the worker has shown its counters, for which it wakes by itself.
            usleep(300_000)
            let answered = DispatchSemaphore(value: 0)
            let kicked = Mutex(0)
            #expect(
                stage.link.post(
                    Inquiry(.kickAll(from: 0, SessionFilter())) { answer in
                        if case .kicked(let count, _)? = answer { kicked.withLock { $0 = count } }
                        answered.signal()
                    }))
            for _ in 0..<2 {
                #expect(stage.link.post(Inquiry(.list(from: 0, SessionFilter())) { _ in answered.signal() }))
            }
            for _ in 0..<3 { #expect(answered.wait(timeout: .now() + 3) == .success, "round \(round)") }
            #expect(kicked.withLock { $0 } == 8)
        }
    }
}
