import HTTPTypes
import HummingbirdCore
import NIOCore
import Synchronization

/// Tells pages what happens, once a second, as server-sent events (the HTML standard, section 9.2).
///
/// Few may listen at once, and whoever does not take an event for five seconds is dropped.
final class EventFeed: Sendable {
    static let mostListeners = 16

    struct TooSlow: Error {}

    private let seats = Atomic(0)
    private let pause: Duration
    private let patience: Duration
    private let event: @Sendable () -> String

    convenience init(_ server: RelayServer) {
        self.init { AdminAnswer.text(json: DashboardEvent(server)) }
    }

    /// - Parameter event: one line of JSON.
    init(every pause: Duration = .seconds(1), patience: Duration = .seconds(5), event: @escaping @Sendable () -> String)
    {
        self.pause = pause
        self.patience = patience
        self.event = event
    }

    /// The stream, or why there is none.
    func answer() -> AdminAnswer {
        guard let seat = Seat(self) else {
            return AdminAnswer(
                .serviceUnavailable, "\(Self.mostListeners) pages are open already: close one of them\n")
        }
        let body = ResponseBody { writer in
            // Only one of the two tasks writes.
            nonisolated(unsafe) let listener = writer
            try await self.serve(seat) { buffer in
                var listener = listener
                try await listener.write(buffer)
            }
        }
        return AdminAnswer(stream: body, contentType: "text/event-stream")
    }

    /// Writes until the listener goes away, which ends in an error, or is too slow.
    private func serve(_ seat: Seat, _ write: @escaping @Sendable (ByteBuffer) async throws -> Void) async throws {
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask {
                while true {
                    try await write(ByteBuffer(string: "data: \(self.event())\n"))
                    seat.events.add(1, ordering: .relaxed)
                    try await Task.sleep(for: self.pause)
                }
            }
            tasks.addTask {
                var before = -1
                while true {
                    let now = seat.events.load(ordering: .relaxed)
                    guard now != before else { throw TooSlow() }
                    before = now
                    try await Task.sleep(for: self.patience)
                }
            }
            defer { tasks.cancelAll() }
            try await tasks.next()
        }
    }

    /// One listener's place; given back when nothing speaks of it any more.
    private final class Seat: Sendable {
        let events = Atomic(0)
        private let feed: EventFeed

        init?(_ feed: EventFeed) {
            self.feed = feed
            guard feed.seats.add(1, ordering: .relaxed).newValue <= EventFeed.mostListeners else { return nil }
        }

        deinit { feed.seats.subtract(1, ordering: .relaxed) }
    }
}
