public import RelayCore
import Synchronization

/// What a worker can be asked about its sessions; each question is small enough to be answered between two turns.
public enum SessionQuestion: Sendable {
    /// One part of the list, from a place on.
    case list(from: UInt32, SessionFilter)
    case detail(AllocationID)
    case kick(AllocationID)
    /// Ends some of the sessions that fit, from a place on.
    case kickAll(from: UInt32, SessionFilter)
}

public enum SessionAnswer: Sendable, Hashable {
    case page(SessionPage)
    /// Nothing: there is no such session.
    case detail(SessionDetail?)
    /// How many ended, and the place to go on from.
    case kicked(Int, next: UInt32?)
}

/// A question that waits for its answer.
@usableFromInline
final class Inquiry: Sendable {
    let question: SessionQuestion
    private let asker: Mutex<(@Sendable (SessionAnswer?) -> Void)?>

    /// - Parameter asker: called once, on the worker's thread or on any other.
    init(_ question: SessionQuestion, _ asker: @escaping @Sendable (SessionAnswer?) -> Void) {
        self.question = question
        self.asker = Mutex(asker)
    }

    /// Whether nobody has answered yet.
    @usableFromInline
    var isAwaited: Bool { asker.withLock { $0 != nil } }

    /// The first answer counts; nothing is one too.
    @usableFromInline
    func answer(_ answer: SessionAnswer?) { asker.withLock { $0.take() }?(answer) }
}

extension WorkerLink {
    /// How long a worker may take to answer: it is asked between two turns.
    private static let patience = Duration.seconds(5)

    /// Asks the worker. One question is answered a turn.
    /// - Returns: nothing if the worker has ended, or does not answer for five seconds.
    public func ask(_ question: SessionQuestion) async -> SessionAnswer? {
        await withCheckedContinuation { continuation in
            let inquiry = Inquiry(question) { continuation.resume(returning: $0) }
            guard post(inquiry) else { return inquiry.answer(nil) }
            Task {
                try await Task.sleep(for: Self.patience)
                inquiry.answer(nil)
            }
        }
    }
}

extension Worker {
    /// Answers a question; what has to be done for it is in the effects.
    @usableFromInline
    mutating func consider(_ inquiry: Inquiry, at moment: Moment) -> SessionAnswer {
        switch inquiry.question {
        case .list(let place, let filter): return .page(core.sessions(from: place, filter, at: moment))
        case .detail(let id): return .detail(core.session(id, at: moment))
        case .kick(let id): return .kicked(core.kick(id, at: moment, into: &effects) ? 1 : 0, next: nil)
        case .kickAll(let place, let filter):
            let kicked = core.kick(from: place, filter, at: moment, into: &effects)
            return .kicked(kicked.count, next: kicked.next)
        }
    }
}
