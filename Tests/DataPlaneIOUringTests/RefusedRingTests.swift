import CTestKit
import DataPlaneIOUring
import Foundation
import PlaneTestKit
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

    /// What the plane's probe says on a thread that may make no rings; nothing where the kernel takes no filter.
    private static func probe(refusing number: Int32) -> Result<IOUringPlane.Features, PlaneError>? {
        nonisolated(unsafe) var outcome: Result<IOUringPlane.Features, PlaneError>?
        let done = DispatchSemaphore(value: 0)
        let thread = Thread {
            if ctestkit_refuse(ctestkit_io_uring_setup(), number) == 0 {
                outcome = Result { () throws(PlaneError) in try IOUringPlane().probe() }
            }
            done.signal()
        }
        thread.start()
        done.wait()
        return outcome
    }
}
