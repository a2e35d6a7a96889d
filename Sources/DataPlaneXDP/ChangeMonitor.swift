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

    init(_ session: XDPSession, finder: WayFinder) throws(PlaneError) {
        netlink = clinux_netlink_listen()
        guard netlink >= 0 else {
            throw PlaneError(
                what: "listening to netlink", why: String(systemErrorNumber: -netlink),
                mend: "Let this process use AF_NETLINK (systemd: RestrictAddressFamilies).")
        }
        do throws(SocketError) {
            wake = try WakeDescriptor.open()
        } catch {
            _ = clinux_close(netlink)
            throw PlaneError(what: "watching routes", why: error.description, mend: "Allow more open files.")
        }
        self.finder = finder
        let context = unsafe Unmanaged.passRetained(Watch(self, session))
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
            throw PlaneError(
                what: "starting the thread that watches routes", why: String(systemErrorNumber: error),
                mend: "Allow more threads (systemd: TasksMax).")
        }
        let started = handle
        thread.withLock { $0 = started }
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
        var ticks = 0
        var tickEnds = SystemClock.now().monotonic
        while !isStopping.load(ordering: .acquiring) {
            let ready = clinux_wait_for_either(netlink, wake, Int32(Self.tickMilliseconds))
            if ready & 1 != 0 { follow(session, ownFinder) }
            let now = SystemClock.now().monotonic
            guard tickEnds <= now else { continue }
            tickEnds = now.advanced(byMilliseconds: Self.tickMilliseconds)
            session.recycle()
            ticks += 1
            if ticks % Self.ticksBetweenRefreshes == 0 { session.refresh(ownFinder) }
        }
    }

    /// Takes what waits, then looks at what it concerns.
    private func follow(_ session: XDPSession, _ ownFinder: WayFinder) {
        var neighbours: Set<IPAddress> = []
        var concernsAll = false
        for _ in 0..<4096 {
            var native = clinux_address()
            let change = unsafe clinux_next_change(netlink, &native)
            guard change != CLINUX_CHANGE_NONE else { break }
            if change == CLINUX_CHANGE_ROUTES { concernsAll = true }
            if let address = IPAddress(native) { neighbours.insert(address) }
        }
        session.followChange(of: concernsAll ? nil : neighbours, ownFinder)
    }

    fileprivate var interfaces: [NetworkInterface] { Array(finder.interfaces.values) }
}

/// What the thread is started with.
private final class Watch {
    private let monitor: ChangeMonitor
    private let session: XDPSession

    init(_ monitor: ChangeMonitor, _ session: XDPSession) {
        self.monitor = monitor
        self.session = session
    }

    func carryOut() {
        unsafe clinux_thread_set_name("xdp-routes")
        // A socket of its own: the table's finder is in use under the table's lock.
        guard let finder = try? WayFinder(interfaces: monitor.interfaces) else { return }
        monitor.watch(session, finder)
        finder.close()
    }
}
