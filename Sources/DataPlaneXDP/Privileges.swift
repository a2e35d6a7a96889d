// Unsafe code: a thread's body is a C function with a pointer. The pointer is one owned reference, made before the
// thread starts and taken over by its body exactly once.

import CLinux
import Dispatch
import Synchronization

/// Loading a program takes capabilities that nothing else here needs, and capabilities belong to threads. So one
/// thread keeps them until the program is loaded, however late that is, and no other thread of the process has them.
public enum Privileges {
    /// What the rest of the process keeps where it has it: what binding, sending and starting take. Attaching a loaded
    /// program takes none, asking the kernel to check a neighbour takes CAP_NET_ADMIN.
    public static let kept: [Capability] = [.readAnyFile, .bindLowPorts, .netAdmin, .netRaw, .sysNice]

    private static let keeper = Mutex<Keeper?>(nil)
    private static let initially = Mutex<CapabilitySet?>(nil)

    /// What the process was started with.
    static var held: CapabilitySet { initially.withLock { $0 } ?? .effective }

    /// Whether the process was started with a capability.
    public static func hasHeld(_ capability: Capability) -> Bool { held.allows(capability) }

    /// Leaves the capabilities that only loading takes to a thread of their own. To be called while the process has no
    /// other threads. Where that thread cannot be had, everything stays as it is.
    public static func setAside() {
        let held = CapabilitySet.effective
        initially.withLock { $0 = held }
        guard held.bits & ~CapabilitySet(kept).bits != 0, let thread = Keeper() else { return }
        keeper.withLock { $0 = thread }
        _ = clinux_keep_capabilities(CapabilitySet(kept).bits)
    }

    /// Gives up for good what was set aside.
    static func drop() { keeper.withLock { $0.take() }?.end() }

    /// Does something with the capabilities that were set aside, or with this thread's own.
    static func exercise<Success: Sendable, Failure: Error>(
        _ body: @escaping @Sendable () throws(Failure) -> Success
    ) throws(Failure) -> Success {
        guard let keeper = keeper.withLock({ $0 }) else { return try body() }
        let outcome = Mutex<Result<Success, Failure>?>(nil)
        let box = Box(outcome: consume outcome)
        keeper.carryOut {
            let result: Result<Success, Failure>
            do throws(Failure) { result = .success(try body()) } catch { result = .failure(error) }
            box.outcome.withLock { $0 = result }
        }
        guard let result = box.outcome.withLock({ $0 }) else { preconditionFailure("what was asked for is done") }
        return try result.get()
    }

    private final class Box<Success: Sendable, Failure: Error>: Sendable {
        let outcome: Mutex<Result<Success, Failure>?>

        init(outcome: consuming Mutex<Result<Success, Failure>?>) { self.outcome = outcome }
    }
}

/// The thread that has the capabilities: does what it is asked to, one after the other.
private final class Keeper: Sendable {
    private let orders = Mutex<[@Sendable () -> Void]>([])
    private let isEnding = Atomic(false)
    private let ordered = DispatchSemaphore(value: 0)
    private let done = DispatchSemaphore(value: 0)
    private let thread = Mutex<pthread_t?>(nil)

    init?() {
        var handle = pthread_t()
        let context = unsafe Unmanaged.passRetained(self)
        let error = unsafe clinux_thread_start(
            &handle, -1,
            { context in
                guard let context = unsafe context else { return nil }
                unsafe Unmanaged<Keeper>.fromOpaque(context).takeRetainedValue().work()
                return nil
            }, context.toOpaque())
        guard error == 0 else {
            unsafe context.release()
            return nil
        }
        let started = handle
        thread.withLock { $0 = started }
    }

    private func work() {
        unsafe clinux_thread_set_name("privileged")
        while true {
            ordered.wait()
            guard !isEnding.load(ordering: .acquiring) else { return }
            orders.withLock { $0.popLast() }?()
            done.signal()
        }
    }

    func carryOut(_ order: @escaping @Sendable () -> Void) {
        orders.withLock { $0.append(order) }
        ordered.signal()
        done.wait()
    }

    func end() {
        isEnding.store(true, ordering: .releasing)
        ordered.signal()
        if let thread = thread.withLock({ $0 }) { clinux_thread_join(thread) }
    }
}
