// Unsafe code: a thread's body is a C function with a pointer. The pointer is one owned reference, made before the
// thread starts and taken over by its body exactly once.

internal import CLinux
import Synchronization

/// The thread that owns a worker and runs its planes.
public final class WorkerThread: Sendable {
    private let handle: pthread_t
    private let isJoined = Atomic(false)

    /// Starts a thread named `relay-<number>`, which runs the worker as ``Worker/work(on:mustStart:tell:)`` says.
    ///
    /// - Parameters:
    ///   - worker: gone, its sockets closed, by the time that the thread has ended; also when it cannot start.
    ///   - cpu: the one CPU that the thread may run on; nil leaves that to the scheduler.
    ///   - tell: called on the thread, a few times in a plane's life; the last is ``WorkerEvent/ended(_:)``.
    /// - Throws: where the system has no room for a thread, or has no such CPU.
    public init(
        _ worker: consuming sending Worker, number: Int, cpu: Int? = nil, planes: PlaneOrder,
        mustStart: Bool = false, tell: @escaping @Sendable (WorkerEvent) -> Void
    ) throws(PlaneError) {
        precondition(cpu ?? 0 >= 0, "CPUs are numbered from 0")
        let assignment = Assignment(worker, name: "relay-\(number)", planes: planes, mustStart: mustStart, tell: tell)
        let context = unsafe Unmanaged.passRetained(assignment)
        var handle = pthread_t()
        let error = unsafe clinux_thread_start(
            &handle, cpu.map { Int32(clamping: $0) } ?? -1,
            { context in
                guard let context = unsafe context else { return nil }
                unsafe Unmanaged<Assignment>.fromOpaque(context).takeRetainedValue().carryOut()
                return nil
            }, context.toOpaque())
        guard error == 0 else {
            unsafe context.release()
            throw PlaneError(
                what: "starting the thread relay-\(number)" + (cpu.map { " on CPU \($0)" } ?? ""),
                why: "errno \(error)", mend: "Ask for fewer workers, or for CPUs that this process may use")
        }
        self.handle = handle
    }

    /// Waits until the thread has ended. To be called once at most.
    public func join() {
        precondition(!isJoined.exchange(true, ordering: .relaxed), "a thread is joined once")
        clinux_thread_join(handle)
    }

    deinit {
        if !isJoined.load(ordering: .relaxed) { clinux_thread_detach(handle) }
    }
}

/// What a thread is started with.
private final class Assignment {
    private var worker: Worker?
    private let name: String
    private let planes: PlaneOrder
    private let mustStart: Bool
    private let tell: @Sendable (WorkerEvent) -> Void

    init(
        _ worker: consuming Worker, name: String, planes: PlaneOrder, mustStart: Bool,
        tell: @escaping @Sendable (WorkerEvent) -> Void
    ) {
        self.worker = consume worker
        self.name = name
        self.planes = planes
        self.mustStart = mustStart
        self.tell = tell
    }

    func carryOut() {
        unsafe clinux_thread_set_name(name)
        // Dispatch gives its threads a niceness of 0, and this one is started by one of them.
        clinux_thread_take_niceness_of_process()
        guard var worker = worker.take() else { preconditionFailure("a worker is put to work once") }
        _ = worker.work(on: planes, mustStart: mustStart, tell: tell)
    }
}
