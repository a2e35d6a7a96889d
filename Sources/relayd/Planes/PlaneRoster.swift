import RelayWorker

/// Which worker runs on which plane, and what has to happen when one of them cannot go on: a pure state machine.
///
/// All workers are meant to run on one plane, the first of `order`. A plane that fails on one of them is left by all.
struct PlaneRoster: Sendable {
    /// Why the relay runs on the plane that it runs on.
    enum Cause: String, Sendable, CaseIterable {
        case start, swap, fallback
    }

    /// A plane that failed after it was chosen.
    struct Failure: Sendable, Equatable {
        let plane: String
        let reason: PlaneError
    }

    /// What an event leads to.
    enum Consequence: Sendable, Equatable {
        case nothing
        /// Every living worker runs on the plane that it was meant for; nothing is under way any more.
        case settled
        /// These workers have to be moved to the first plane of the order.
        case move(workers: [Int])
    }

    private enum Standing: Sendable, Equatable {
        /// On its way to a plane that it was told of.
        case starting
        case running(String)
        case ended
    }

    /// The plane that all workers are meant for, then those that take over from it.
    private(set) var order: [String]
    private(set) var cause = Cause.start
    /// The planes that failed since the last change that was asked for, the latest last.
    private(set) var failures: [Failure] = []
    private var standings: [Standing]

    init(order: [String], workers: Int) {
        precondition(!order.isEmpty && workers > 0, "a relay without planes or workers")
        self.order = order
        standings = Array(repeating: .starting, count: workers)
    }

    var current: String { order[0] }

    /// How many workers run on each plane.
    var workersByPlane: [String: Int] {
        standings.reduce(into: [:]) { counts, standing in
            if case .running(let plane) = standing { counts[plane, default: 0] += 1 }
        }
    }

    /// Whether no worker is on its way.
    var isSettled: Bool { !standings.contains(.starting) }

    /// The order in which a plane that got ready after the start is the first; nothing where somebody has asked for
    /// another one meanwhile.
    func order(beginningWith latecomer: String) -> [String]? {
        guard cause != .swap, current != latecomer else { return nil }
        return [latecomer] + order.filter { $0 != latecomer }
    }

    /// All workers are to change to the first of these planes.
    mutating func change(to order: [String], cause: Cause) {
        precondition(!order.isEmpty, "a relay without planes")
        self.order = order
        self.cause = cause
        failures = []
        for worker in standings.indices where standings[worker] != .ended { standings[worker] = .starting }
    }

    mutating func started(_ worker: Int, on plane: String) -> Consequence {
        let wasSettled = isSettled
        // What it ran on when it was told to change is no news.
        guard plane == current else { return .nothing }
        standings[worker] = .running(plane)
        return isSettled && !wasSettled ? .settled : .nothing
    }

    mutating func failed(_ worker: Int, on plane: String, _ reason: PlaneError) -> Consequence {
        guard plane == current else { return .nothing }
        failures.append(Failure(plane: plane, reason: reason))
        guard order.count > 1 else { return .nothing }
        order.removeFirst()
        cause = .fallback
        var others: [Int] = []
        for other in standings.indices where standings[other] != .ended {
            standings[other] = .starting
            // The one that failed goes on by itself.
            if other != worker { others.append(other) }
        }
        return others.isEmpty ? .nothing : .move(workers: others)
    }

    mutating func ended(_ worker: Int) -> Consequence {
        let wasSettled = isSettled
        standings[worker] = .ended
        return isSettled && !wasSettled ? .settled : .nothing
    }
}
