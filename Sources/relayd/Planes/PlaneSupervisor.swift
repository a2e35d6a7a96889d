import DataPlaneXDP
import Dispatch
import Logging
import RelayWorker
import Synchronization

/// Keeps all workers of a relay on one plane: the chosen one, the one that takes over when that fails, or the one that
/// somebody asked for while the relay runs.
final class PlaneSupervisor: Sendable {
    /// Why a change that was asked for did not happen.
    enum SwapError: Error, CustomStringConvertible {
        /// Another change is under way.
        case busy
        /// The plane cannot run here; everything goes on as before.
        case refused(PlaneError)
        /// It could not start on some worker; all went on with another one.
        case failed(PlaneError, nowOn: String)
        /// A worker has not said anything for ten seconds.
        case unanswered

        var description: String {
            switch self {
            case .busy: "Another change of planes is under way: try again when /status shows it done."
            case .refused(let reason): "Nothing was changed. \(reason)"
            case .failed(let reason, let plane): "The relay runs on \(plane), with all of its allocations. \(reason)"
            case .unanswered: "A worker did not answer for 10 s; /status shows which planes run."
            }
        }
    }

    private struct State: Sendable {
        var roster: PlaneRoster
        var candidates: [PlaneChoice.Candidate]
        /// The planes of the roster's order, and what each will do.
        var planes: [String: any DataPlane]
        var promises: [String: String]
        var links: [WorkerLink] = []
        /// How often the relay came to a plane, by plane and cause.
        var changes: [Change: UInt64] = [:]
        var waiting: CheckedContinuation<Void, Never>?
        var isChanging = false

        mutating func take(_ found: (plane: any DataPlane, promise: String), as name: String) {
            planes[name] = found.plane
            promises[name] = found.promise
        }

        /// One change at a time.
        mutating func begin() -> Bool {
            guard !isChanging, roster.isSettled else { return false }
            isChanging = true
            return true
        }
    }

    /// One way of coming to a plane.
    struct Change: Hashable, Sendable {
        let plane: String
        let cause: PlaneRoster.Cause
    }

    private static let patience = Duration.seconds(10)

    /// What was chosen at start.
    let choice: PlaneChoice
    /// `auto` begins without XDP, whose program takes long to load, and changes to it once that is done.
    let awaitsXDP: Bool
    let catalogue: PlaneCatalogue
    private let logger: Logger
    private let state: Mutex<State>

    /// Chooses as the settings say. Nothing runs yet.
    init(_ settings: Settings, _ catalogue: PlaneCatalogue, workers: Int, logger: Logger) throws(PlaneError) {
        let requested = settings.plane.requested
        awaitsXDP = requested == nil
        let triesXDP = requested == "xdp" || requested != nil && settings.fallsBack
        let candidates = catalogue.survey(xdp: triesXDP ? .attach : .untried)
        choice = try PlaneChoice.choose(among: candidates, requested: requested, fallsBack: settings.fallsBack)
        self.catalogue = catalogue
        self.logger = logger
        let chosen = try catalogue.plane(choice.chosen, above: nil, isRequested: choice.chosen == requested)
        var planes = [choice.chosen: chosen.plane]
        var promises = [choice.chosen: chosen.promise]
        for name in choice.fallbacks {
            // One that could be used a moment ago and cannot now is no reason not to start.
            guard let found = try? catalogue.plane(name, above: nil, isRequested: false) else { continue }
            (planes[name], promises[name]) = found
        }
        let fallbacks = choice.fallbacks.filter { planes[$0] != nil }
        let order = Self.order(beginningWith: chosen.plane, then: fallbacks, of: planes)
        state = Mutex(
            State(
                roster: PlaneRoster(order: order, workers: workers), candidates: candidates, planes: planes,
                promises: promises))
        if choice.chosen != "xdp" { catalogue.xdp?.detachIfUnused() }
    }

    /// What every worker is to run.
    var order: PlaneOrder { state.withLock { Self.order(of: $0) } }

    /// The workers that are told of changes, in the order of their numbers; before the first of them runs.
    func supervise(_ links: [WorkerLink]) { state.withLock { $0.links = links } }

    // MARK: Changing planes

    /// Has all workers go on with another plane, with their sockets and allocations.
    ///
    /// Loading XDP's program takes this task a tenth of a second; the workers relay meanwhile.
    func swap(to name: String) async throws(SwapError) {
        guard state.withLock({ $0.begin() }) else { throw .busy }
        defer { state.withLock { $0.isChanging = false } }
        let current = status
        let found: (plane: any DataPlane, promise: String)
        catalogue.forget(name)
        do throws(PlaneError) {
            found = try catalogue.plane(name, above: current.slowPath, isRequested: true)
        } catch {
            record(.refused(error), of: name)
            throw .refused(error)
        }
        record(.usable(found.promise), of: name)
        guard name != current.plane || found.plane.slowPathName != current.slowPath else { return }
        defer { catalogue.xdp?.detachIfUnused() }
        await settle { state in
            state.take(found, as: name)
            let order = Self.order(beginningWith: found.plane, then: state.roster.order, of: state.planes)
            state.roster.change(to: order, cause: .swap)
        }
        let now = status
        guard now.isSettled else { throw .unanswered }
        if let failure = now.failures.first { throw .failed(failure.reason, nowOn: now.plane) }
    }

    /// Behind a plane stands the one below it, which goes on with the least change, then the others; but none that would
    /// stand on the one that failed.
    private static func order(
        beginningWith first: any DataPlane, then others: [String], of planes: [String: any DataPlane]
    ) -> [String] {
        let below = [first.slowPathName].filter { $0 != first.name }
        let behind = others.filter { name in
            name != first.name && name != first.slowPathName && planes[name]?.slowPathName != first.name
        }
        return [first.name] + below + behind
    }

    /// Where `auto` was asked for: loads XDP's program while the workers relay, and has them go on with it. A refusal
    /// joins those of the start.
    func bringUpXDP() async {
        guard awaitsXDP, let found = await probeXDP() else { return }
        defer { catalogue.xdp?.detachIfUnused() }
        guard await beginOnceSettled() else { return }
        defer { state.withLock { $0.isChanging = false } }
        guard let order = state.withLock({ $0.roster.order(beginningWith: "xdp") }) else { return }
        await settle { state in
            state.take(found, as: "xdp")
            state.roster.change(to: order, cause: .start)
        }
    }

    /// Loads and attaches the program, on a thread that nobody waits for.
    private func probeXDP() async -> (plane: any DataPlane, promise: String)? {
        let slowPath = status.slowPath
        let found = await withCheckedContinuation { continuation in
            DispatchQueue.global().async { [catalogue] in
                continuation.resume(
                    returning: Result { () throws(PlaneError) in
                        try catalogue.plane("xdp", above: slowPath, isRequested: false)
                    })
            }
        }
        switch found {
        case .success(let found): record(.usable(found.promise), of: "xdp")
        case .failure(let reason): record(.refused(reason), of: "xdp")
        }
        return try? found.get()
    }

    /// What a plane said of this host last is what everybody is told.
    private func record(_ probe: PlaneProbe, of name: String) {
        state.withLock { state in
            state.candidates = state.candidates.map { $0.name == name ? .init(name: name, probe: probe) : $0 }
        }
        if case .refused(let reason) = probe {
            logger.info("data plane refused", metadata: ["plane": "\(name)", "reason": "\(reason)"])
        }
    }

    /// Waits until the workers have started, and a change that somebody asked for is done.
    private func beginOnceSettled() async -> Bool {
        let until = ContinuousClock.now + Self.patience
        while ContinuousClock.now < until {
            if state.withLock({ $0.begin() }) { return true }
            guard (try? await Task.sleep(for: .milliseconds(5))) != nil else { return false }
        }
        return false
    }

    /// Changes the roster, tells the workers, and waits until all of them run again.
    private func settle(_ change: @Sendable (inout State) -> Void) async {
        let timer = Task { [self] in
            try await Task.sleep(for: Self.patience)
            state.withLock { $0.waiting.take() }?.resume()
        }
        await withCheckedContinuation { continuation in
            state.withLock { state in
                change(&state)
                state.waiting = continuation
                let order = Self.order(of: state)
                for link in state.links { link.swap(to: order) }
            }
        }
        timer.cancel()
    }

    // MARK: What workers say

    /// Takes note of what befell a worker. Called on its thread.
    func note(_ event: WorkerEvent, of worker: Int) {
        switch event {
        case .started(let plane):
            conclude { $0.roster.started(worker, on: plane) }
        case .failed(let plane, let reason):
            logger.error(
                "data plane failed", metadata: ["plane": "\(plane)", "worker": .number(worker), "reason": "\(reason)"])
            conclude { $0.roster.failed(worker, on: plane, reason) }
        case .ended:
            conclude { $0.roster.ended(worker) }
        }
    }

    private func conclude(_ event: @Sendable (inout State) -> PlaneRoster.Consequence) {
        let (settled, waiting) = state.withLock { state -> (Status?, CheckedContinuation<Void, Never>?) in
            switch event(&state) {
            case .nothing: return (nil, nil)
            case .move(let workers):
                let order = Self.order(of: state)
                for worker in workers { state.links[worker].swap(to: order) }
                return (nil, nil)
            case .settled:
                let change = Change(plane: state.roster.current, cause: state.roster.cause)
                state.changes[change, default: 0] += 1
                return (Self.status(of: state), state.waiting.take())
            }
        }
        if let settled {
            logger.info(
                "data plane runs",
                metadata: ["plane": "\(settled.plane)", "does": "\(settled.promise)", "cause": "\(settled.cause)"])
        }
        waiting?.resume()
    }

    // MARK: What others see

    /// Which plane runs, and why.
    struct Status: Sendable {
        let plane: String
        /// The userspace plane that does what the kernel leaves.
        let slowPath: String
        let promise: String
        let cause: PlaneRoster.Cause
        let isSettled: Bool
        let workersByPlane: [String: Int]
        let failures: [PlaneRoster.Failure]
        let fallbacks: [String]
        let changes: [Change: UInt64]
    }

    /// What each plane said of this host.
    var candidates: [PlaneChoice.Candidate] { state.withLock { $0.candidates } }

    var refusals: [PlaneChoice.Refusal] { candidates.compactMap(\.refusal) }

    var status: Status { state.withLock { Self.status(of: $0) } }

    private static func status(of state: State) -> Status {
        let roster = state.roster
        guard let plane = state.planes[roster.current] else { preconditionFailure("a plane without a name") }
        return Status(
            plane: plane.name, slowPath: plane.slowPathName, promise: state.promises[plane.name] ?? "",
            cause: roster.cause, isSettled: roster.isSettled, workersByPlane: roster.workersByPlane,
            failures: roster.failures, fallbacks: Array(roster.order.dropFirst()), changes: state.changes)
    }

    private static func order(of state: State) -> PlaneOrder {
        let planes = state.roster.order.compactMap { state.planes[$0] }
        return PlaneOrder(planes[0], fallbacks: Array(planes.dropFirst()))
    }
}
