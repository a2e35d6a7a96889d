import Logging
import RelayCore
import RelayWorker
import STUN
import ServiceLifecycle
import Synchronization

/// Draining: no new allocations, the living ones until they end or the time is up, then the end of the process.
///
/// New clients are sent elsewhere (300) where an alternate server of their family is configured. All others get 508
/// (Insufficient Capacity): it is the server that has no room, whoever asks, while 486 would blame the user's quota
/// (RFC 8656 section 19). A client may try again after a minute, by which time it meets the successor.
final class Drain: Service {
    private struct State {
        var alternates: [TransportAddress]
        var timeoutSeconds: UInt32
    }

    private let links: [WorkerLink]
    private let logger: Logger
    private let state: Mutex<State>
    private let begun = Atomic(false)
    private let requests: AsyncStream<Void>
    private let requester: AsyncStream<Void>.Continuation
    /// Between two looks at what is left, and between two lines of progress.
    private static let look = Duration.milliseconds(100)
    private static let looksPerLine = 100

    init(_ links: [WorkerLink], _ settings: Settings, logger: Logger) {
        self.links = links
        self.logger = logger
        state = Mutex(State(alternates: settings.alternateServers, timeoutSeconds: settings.drainTimeoutSeconds))
        (requests, requester) = AsyncStream.makeStream(of: Void.self)
    }

    /// Whether new allocations are refused: from the first request on.
    var isDraining: Bool { begun.load(ordering: .acquiring) }

    /// Begins; a second time is no other. Returns before the workers have heard of it.
    func begin() {
        guard !begun.exchange(true, ordering: .acquiringAndReleasing) else { return }
        let admission = state.withLock { Admission.redirect(to: $0.alternates) }
        for link in links { link.drain(admission) }
        requester.yield()
        requester.finish()
    }

    /// Takes over alternate servers and timeout, of a drain that has begun as well.
    func reconfigure(_ settings: Settings) {
        let admission = state.withLock { state in
            state = State(alternates: settings.alternateServers, timeoutSeconds: settings.drainTimeoutSeconds)
            return Admission.redirect(to: state.alternates)
        }
        if isDraining { for link in links { link.drain(admission) } }
    }

    /// Ends when the drain has, and with it the program.
    func run() async throws {
        for await _ in requests.cancelOnGracefulShutdown() {
            do {
                try await cancelWhenGracefulShutdown { try await self.waitForTheEnd() }
            } catch is CancellationError {}
            return
        }
    }

    private func waitForTheEnd() async throws {
        let start = ContinuousClock.now
        // The workers read their letters, and show what they have.
        try await Task.sleep(for: Self.look)
        logger.notice("draining", metadata: metadata(since: start))
        var looks = 0
        var emptyLooks = 0
        // Workers show themselves every 100 ms, so an Allocate of the letter's turn is seen a little later.
        while emptyLooks < 3, !isOver(since: start) {
            try await Task.sleep(for: Self.look)
            looks += 1
            emptyLooks = allocations == 0 ? emptyLooks + 1 : 0
            if looks % Self.looksPerLine == 0 { logger.info("draining", metadata: metadata(since: start)) }
        }
        logger.notice(emptyLooks < 3 ? "drain timed out" : "drained", metadata: metadata(since: start))
    }

    private var allocations: UInt64 { links.reduce(0) { $0 + $1.snapshot.core.allocations } }

    private func isOver(since start: ContinuousClock.Instant) -> Bool {
        let timeoutSeconds = state.withLock { $0.timeoutSeconds }
        return timeoutSeconds > 0 && start.duration(to: .now) >= .seconds(Int64(timeoutSeconds))
    }

    private func metadata(since start: ContinuousClock.Instant) -> Logger.Metadata {
        let state = state.withLock { $0 }
        return [
            "allocations": .number(allocations), "seconds": .number(start.duration(to: .now).components.seconds),
            "timeout_s": .number(state.timeoutSeconds),
            "alternate": state.alternates.isEmpty
                ? "none" : "\(state.alternates.map(\.description).joined(separator: ","))",
        ]
    }
}

/// SIGUSR1 begins a drain.
struct DrainOnSignal: Service {
    let signals: AsyncStream<Void>
    let drain: Drain

    func run() async throws {
        for await _ in signals.cancelOnGracefulShutdown() { drain.begin() }
        // The stream has no end of its own; when it is left, the group is stopping.
    }
}
