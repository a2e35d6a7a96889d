import CTestKit
import DataPlaneIOUring
import Foundation
import PlaneTestKit
import RelayCore
import RelayWorker
import Testing

/// A host that refuses rings: by a seccomp filter on one thread, which the probe meets as it would in a container.
@Suite struct RefusedRingTests {
    @Test(
        "The reason is the one of the refusal",
        arguments: [
            (EPERM, "seccomp", "Allow io_uring_setup"), (ENOSYS, "without io_uring", "CONFIG_IO_URING"),
            (ENOMEM, "locked memory", "ulimit -l"), (EMFILE, "Too many open files", "ulimit -n"),
        ])
    func theProbeNamesIt(_ number: Int32, _ why: String, _ mend: String) throws {
        let outcome = try #require(Self.probe(refusing: number))
        guard case .failure(let error) = outcome else {
            Issue.record("the ring was not refused")
            return
        }
        #expect(error.what == "io_uring_setup")
        #expect(error.why.contains(why))
        #expect(error.mend.contains(mend))
        #expect(error.mend.contains("socket plane"))
    }

    /// A kernel that has no memory for requests is asked again for a while: it may soon have some.
    @Test(.enabled(if: PlaneUnderTest.usable.contains(.ioUring), "needs io_uring; relayd doctor says why not"))
    func aRingThatTakesNothingIsTriedAgainAndThenGivenUp() throws {
        let failure = try #require(
            try onAThread { () throws -> (turns: Int, error: PlaneError)? in
                var io = try IOUringIO(try IOUringPlane().probe())
                guard ctestkit_refuse(ctestkit_io_uring_enter(), EAGAIN) == 0 else { return nil }
                for turn in 0..<10_000 {
                    do throws(PlaneError) {
                        _ = try io.receive(until: Instant(nanoseconds: 0))
                    } catch {
                        return (turn, error)
                    }
                }
                return nil
            })
        #expect(failure.turns > 100)
        #expect(failure.error.why == "the kernel has no memory for requests")
        #expect(!failure.error.mend.contains("defect"))
    }

    /// What the plane's probe says on a thread that may make no rings; nothing where the kernel takes no filter.
    private static func probe(refusing number: Int32) -> Result<IOUringPlane.Features, PlaneError>? {
        try? onAThread { () throws -> Result<IOUringPlane.Features, PlaneError>? in
            guard ctestkit_refuse(ctestkit_io_uring_setup(), number) == 0 else { return nil }
            return Result { () throws(PlaneError) in try IOUringPlane().probe() }
        }
    }
}

/// Runs `body` on a thread of its own: what the kernel refuses to that one it goes on to allow to all others.
private func onAThread<Value>(_ body: @escaping () throws -> Value?) throws -> Value? {
    nonisolated(unsafe) let body = body
    nonisolated(unsafe) var outcome: Result<Value?, any Error>?
    let done = DispatchSemaphore(value: 0)
    let thread = Thread {
        outcome = Result { try body() }
        done.signal()
    }
    thread.start()
    done.wait()
    return try outcome?.get() ?? nil
}
