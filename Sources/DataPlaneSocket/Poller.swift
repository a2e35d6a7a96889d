// Unsafe because: epoll fills an array of events. It is allocated here and read under a check.
import CLinux
import RelayCore
import RelayWorker

/// The epoll set of one worker, level-triggered.
@safe struct Poller: ~Copyable {
    /// The token of the wake-up descriptor; no slot has it.
    static let wakeToken = UInt64.max
    private static let capacity = 128

    private let descriptor: Int32
    private let events: UnsafeMutablePointer<epoll_event>
    private var count = 0
    /// False once the kernel or a sandbox refused `epoll_pwait2`.
    private var isPrecise = true

    init() throws(PlaneError) {
        descriptor = clinux_epoll_create()
        unsafe events = .allocate(capacity: Self.capacity)
        unsafe events.initialize(repeating: epoll_event(), count: Self.capacity)
        guard descriptor >= 0 else {
            throw PlaneError(
                what: "epoll_create1", why: String(systemErrorNumber: -descriptor),
                mend: "Raise the limit of open files (ulimit -n)")
        }
    }

    deinit {
        unsafe events.deallocate()
        if descriptor >= 0 { _ = clinux_close(descriptor) }
    }

    mutating func add(_ watched: Int32, token: UInt64) throws(PlaneError) {
        let result = clinux_epoll_add(descriptor, watched, token)
        guard result >= 0 else {
            throw PlaneError(
                what: "epoll_ctl", why: String(systemErrorNumber: -result),
                mend: "Raise fs.epoll.max_user_watches or give the host more memory")
        }
    }

    mutating func remove(_ watched: Int32) {
        // Only a descriptor that was closed too early is not in the set, and then there is nothing to do.
        _ = clinux_epoll_remove(descriptor, watched)
    }

    /// Waits until something is ready or `deadline` has come (nil: for ever).
    /// - Returns: how many events stand at `event(0..<n)`; zero at the deadline or when a signal came.
    mutating func wait(until deadline: Instant?) throws(PlaneError) -> Int {
        guard let deadline else { return try wait(nanoseconds: -1) }
        let now = clinux_monotonic_nanoseconds()
        return try wait(nanoseconds: Int64(clamping: deadline.nanoseconds > now ? deadline.nanoseconds - now : 0))
    }

    /// Waits at most so long (negative: for ever, zero: not at all).
    mutating func wait(nanoseconds: Int64) throws(PlaneError) -> Int {
        count = 0
        let result = unsafe clinux_epoll_wait(descriptor, events, Int32(Self.capacity), nanoseconds, isPrecise)
        switch result {
        case 0...: count = Int(result)
        case -EINTR: break
        case -ENOSYS where isPrecise, -EPERM where isPrecise: isPrecise = false
        default:
            throw PlaneError(
                what: "epoll_wait", why: String(systemErrorNumber: -result), mend: "This is a defect; please report it")
        }
        return count
    }

    func event(_ index: Int) -> clinux_event {
        precondition(index >= 0 && index < count)
        return unsafe clinux_event_at(events, Int32(index))
    }
}
