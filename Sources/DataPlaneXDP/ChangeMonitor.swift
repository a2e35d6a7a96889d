// Unsafe code: a thread's body is a C function with a pointer. The pointer is one owned reference, made before the
// thread starts and taken over by its body exactly once.

import CLinux
import RelayCore
import RelayWorker
import STUN
import Synchronization

/// A thread that follows the kernel's routes and neighbours, and lets memory be used again.
final class ChangeMonitor: Sendable {
    private static let tickMilliseconds: UInt64 = 500
    /// Well below the time after which the kernel takes a neighbour for stale.
    private static let ticksBetweenRefreshes = 20

    private let netlink: Int32
    private let wake: Int32
    private let finder: WayFinder
    private let thread = Mutex<pthread_t?>(nil)
    private let isStopping = Atomic(false)
    private let mustLook = Atomic(false)

    /// - Parameter finder: the table's own, which is closed with the monitor.
    init(_ session: XDPSession, _ finder: WayFinder) throws(PlaneError) {
        // A socket of its own: the table's is in use under the table's lock.
        let ownFinder = try WayFinder(copying: finder)
        netlink = clinux_netlink_listen()
        guard netlink >= 0 else {
            ownFinder.close()
            throw PlaneError(
                what: "listening to netlink", why: String(systemErrorNumber: -netlink),
                mend: "Let this process use AF_NETLINK (systemd: RestrictAddressFamilies).")
        }
        do throws(SocketError) {
            wake = try WakeDescriptor.open()
        } catch {
            _ = clinux_close(netlink)
            ownFinder.close()
            throw PlaneError(what: "watching routes", why: error.description, mend: "Allow more open files.")
        }
        self.finder = finder
        let context = unsafe Unmanaged.passRetained(Watch(self, session, ownFinder))
        var handle = pthread_t()
        let error = unsafe clinux_thread_start(
            &handle, -1,
            { context in
                guard let context = unsafe context else { return nil }
                unsafe Unmanaged<Watch>.fromOpaque(context).takeRetainedValue().carryOut()
                return nil
            }, context.toOpaque())
        guard error == 0 else {
            unsafe context.release()
            _ = clinux_close(netlink)
            WakeDescriptor.close(wake)
            ownFinder.close()
            throw PlaneError(
                what: "starting the thread that watches routes", why: String(systemErrorNumber: error),
                mend: "Allow more threads (systemd: TasksMax).")
        }
        let started = handle
        thread.withLock { $0 = started }
    }

    /// Has the thread read interfaces and addresses again.
    func lookAtInterfaces() {
        mustLook.store(true, ordering: .releasing)
        WakeDescriptor.signal(wake)
    }

    /// Ends the thread and waits for it.
    func stop() {
        isStopping.store(true, ordering: .releasing)
        WakeDescriptor.signal(wake)
        if let thread = thread.withLock({ $0 }) { clinux_thread_join(thread) }
        _ = clinux_close(netlink)
        WakeDescriptor.close(wake)
        finder.close()
    }

    fileprivate func watch(_ session: XDPSession, _ ownFinder: WayFinder) {
        var ownFinder = ownFinder
        defer { ownFinder.close() }
        // What changed between the session's look and this thread's listening.
        session.followInterfaces(&ownFinder)
        session.followChange(of: nil, &ownFinder, isStopping: isToStop)
        var ticks = 0
        var tickEnds = SystemClock.now().monotonic
        while !isToStop() {
            let ready = clinux_wait_for_either(netlink, wake, Int32(Self.tickMilliseconds))
            if ready & 1 != 0 { follow(session, &ownFinder) }
            if ready & 2 != 0 { lookIfAsked(session, &ownFinder) }
            let now = SystemClock.now().monotonic
            guard tickEnds <= now else { continue }
            tickEnds = now.advanced(byMilliseconds: Self.tickMilliseconds)
            session.recycle()
            session.checkAttachments()
            session.followDepartures()
            ticks += 1
            guard ticks % Self.ticksBetweenRefreshes == 0 else { continue }
            session.refresh(ownFinder, isStopping: isToStop)
            session.followExceptions(&ownFinder, isStopping: isToStop)
        }
    }

    private func lookIfAsked(_ session: XDPSession, _ ownFinder: inout WayFinder) {
        WakeDescriptor.drain(wake)
        guard mustLook.exchange(false, ordering: .acquiringAndReleasing) else { return }
        session.followInterfaces(&ownFinder)
        session.followChange(of: nil, &ownFinder, isStopping: isToStop)
    }

    private func isToStop() -> Bool { isStopping.load(ordering: .acquiring) }

    /// Takes what waits, then looks at what it concerns.
    private func follow(_ session: XDPSession, _ ownFinder: inout WayFinder) {
        var neighbours: Set<IPAddress> = []
        var concernsAll = false
        var concernsInterfaces = false
        for _ in 0..<4096 {
            var native = clinux_address()
            let change = unsafe clinux_next_change(netlink, &native)
            guard change != CLINUX_CHANGE_NONE else { break }
            if change != CLINUX_CHANGE_NEIGHBOUR { concernsAll = true }
            if change == CLINUX_CHANGE_INTERFACES { concernsInterfaces = true }
            if let address = IPAddress(native) { neighbours.insert(address) }
        }
        if concernsInterfaces || concernsAll && session.followsDefaultRoutes { session.followInterfaces(&ownFinder) }
        session.followChange(of: concernsAll ? nil : neighbours, &ownFinder, isStopping: isToStop)
    }
}

/// What the thread is started with.
private final class Watch {
    private let monitor: ChangeMonitor
    private let session: XDPSession
    private let finder: WayFinder

    init(_ monitor: ChangeMonitor, _ session: XDPSession, _ finder: WayFinder) {
        self.monitor = monitor
        self.session = session
        self.finder = finder
    }

    func carryOut() {
        unsafe clinux_thread_set_name("xdp-routes")
        monitor.watch(session, finder)
    }
}
