import Dispatch
import FoundationEssentials
import Glibc
import Logging
import Synchronization

/// Writes log lines to standard error from one background queue, so that a slow terminal never holds up a worker.
/// The queue is bounded; what does not fit is counted and said later.
final class LogWriter: Sendable {
    private struct Pending {
        var bytes: [UInt8] = []
        var droppedLines = 0
        var isScheduled = false
    }

    private static let limitBytes = 1 << 20
    private static let patience = DispatchTimeInterval.milliseconds(50)
    /// Patience on a machine that is so busy that the queue does not run.
    private static let mostPatience = 100
    private let pending = Mutex(Pending())
    private let queue: DispatchQueue
    private let descriptor: Int32

    private let format: Settings.LogFormat
    /// The journal reads what is written.
    let isJournal: Bool

    /// - Parameter format: of the line that tells how many were dropped.
    init(
        descriptor: Int32 = STDERR_FILENO, format: Settings.LogFormat = .text, isJournal: Bool = false,
        queue: DispatchQueue = DispatchQueue(label: "relayd.log", qos: .utility)
    ) {
        self.descriptor = descriptor
        self.queue = queue
        self.format = format
        self.isJournal = isJournal
    }

    /// Queues one line; the newline is added.
    func write(_ line: String) {
        let mustSchedule = pending.withLock { pending in
            guard pending.bytes.count + line.utf8.count < Self.limitBytes else {
                pending.droppedLines += 1
                return false
            }
            pending.bytes.append(contentsOf: line.utf8)
            pending.bytes.append(UInt8(ascii: "\n"))
            defer { pending.isScheduled = true }
            return !pending.isScheduled
        }
        if mustSchedule { queue.async { self.drain() } }
    }

    /// Waits until everything queued so far is written, but not for a reader that has stopped reading: the relay must be
    /// able to end without it.
    func flush() {
        let done = DispatchSemaphore(value: 0)
        queue.async {
            self.drain()
            done.signal()
        }
        for _ in 0..<Self.mostPatience {
            if done.wait(timeout: .now() + Self.patience) == .success || !isRead { return }
        }
    }

    /// Whether the reader takes what is written, as far as one can tell.
    private var isRead: Bool {
        var wanted = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        return poll(&wanted, 1, 0) > 0 && wanted.revents & Int16(POLLOUT) != 0
    }

    private func drain() {
        let (bytes, droppedLines) = pending.withLock { pending in
            defer { pending = Pending() }
            return (pending.bytes, pending.droppedLines)
        }
        writeAll(bytes)
        guard droppedLines > 0 else { return }
        let notice = LogLine(
            time: Date(), level: .warning, event: "log lines dropped", fields: [("count", .number("\(droppedLines)"))])
        writeAll(Array((notice.written(as: format, toJournal: isJournal) + "\n").utf8))
    }

    private func writeAll(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 else {
                if count < 0, errno == EINTR { continue }
                return
            }
            rest = rest.dropFirst(count)
        }
    }
}
