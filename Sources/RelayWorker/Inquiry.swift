public import RelayCore
public import STUN
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

/// All that a worker can be asked.
enum WorkerQuestion: Sendable {
    case sessions(SessionQuestion)
    /// To take sockets in and have the plane watch them.
    case takeIn([ListenerSocket])
    case leavingListeners
}

@usableFromInline
enum WorkerAnswer: Sendable {
    case sessions(SessionAnswer)
    /// Nothing: the plane watches all of them. Else the worker has none of them.
    case takenIn(refusal: PlaneError?)
    /// The allocations on each listener that leaves.
    case leavingListeners([TransportAddress: Int])
}

/// A question that waits for its answer.
@usableFromInline
final class Inquiry: Sendable {
    let question: WorkerQuestion
    private let asker: Mutex<(@Sendable (WorkerAnswer?) -> Void)?>

    /// - Parameter asker: called once, on the worker's thread or on any other.
    init(_ question: WorkerQuestion, _ asker: @escaping @Sendable (WorkerAnswer?) -> Void) {
        self.question = question
        self.asker = Mutex(asker)
    }

    /// A question about sessions.
    convenience init(_ question: SessionQuestion, _ asker: @escaping @Sendable (SessionAnswer?) -> Void) {
        self.init(.sessions(question)) { answer in
            if case .sessions(let answer)? = answer { asker(answer) } else { asker(nil) }
        }
    }

    /// Whether nobody has answered yet.
    @usableFromInline
    var isAwaited: Bool { asker.withLock { $0 != nil } }

    /// The first answer counts; nothing is one too.
    @usableFromInline
    func answer(_ answer: WorkerAnswer?) { asker.withLock { $0.take() }?(answer) }
}

extension WorkerLink {
    /// How long a worker may take to answer: it is asked between two turns.
    private static let patience = Duration.seconds(5)

    /// Asks the worker. One question is answered a turn.
    /// - Returns: nothing if the worker has ended, or does not answer for five seconds.
    public func ask(_ question: SessionQuestion) async -> SessionAnswer? {
        guard case .sessions(let answer)? = await ask(.sessions(question)) else { return nil }
        return answer
    }

    /// Hands the worker its sockets of new listeners, which it has its plane watch. Nobody is answered on them until
    /// ``reconfigure(_:listeners:)`` names them. Where a worker refuses, it has closed those that it took.
    public func takeIn(_ sockets: [ListenerSocket]) async throws(PlaneError) {
        guard case .takenIn(let refusal)? = await ask(.takeIn(sockets)) else {
            throw PlaneError(
                what: "handing sockets to a worker", why: "it did not answer within 5 s: it has ended or does not turn",
                mend: "Try again when the load is lower; the log says whether a worker has ended")
        }
        if let refusal { throw refusal }
    }

    /// The allocations on each listener that leaves; nothing where the worker does not answer. What it was told before
    /// it was asked has been done when it answers.
    public func leavingListeners() async -> [TransportAddress: Int]? {
        guard case .leavingListeners(let counts)? = await ask(.leavingListeners) else { return nil }
        return counts
    }

    private func ask(_ question: WorkerQuestion) async -> WorkerAnswer? {
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
    mutating func consider(_ inquiry: Inquiry, at moment: Moment) -> WorkerAnswer {
        switch inquiry.question {
        case .sessions(let question): return .sessions(consider(question, at: moment))
        case .leavingListeners: return .leavingListeners(leavingListeners())
        case .takeIn(let sockets):
            guard takeIn(sockets) else {
                return .takenIn(
                    refusal: PlaneError(
                        what: "taking sockets in", why: "they were given up meanwhile", mend: "Reload again"))
            }
            return .takenIn(refusal: nil)
        }
    }

    private mutating func consider(_ question: SessionQuestion, at moment: Moment) -> SessionAnswer {
        switch question {
        case .list(let place, let filter): return .page(core.sessions(from: place, filter, at: moment))
        case .detail(let id): return .detail(core.session(id, at: moment))
        case .kick(let id): return .kicked(core.kick(id, at: moment, into: &effects) ? 1 : 0, next: nil)
        case .kickAll(let place, let filter):
            let kicked = core.kick(from: place, filter, at: moment, into: &effects)
            return .kicked(kicked.count, next: kicked.next)
        }
    }
}
