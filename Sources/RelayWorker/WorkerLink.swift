public import RelayCore
import Synchronization

/// How other threads reach a worker, and what they see of it.
public final class WorkerLink: Sendable {
    /// What a worker can be told.
    enum Letter: Sendable {
        case stop
        case swap(PlaneOrder)
        case reconfigure(Configuration)
        case drain(Admission)
        /// Nothing to do but to read it.
        case ping
    }

    /// Readable while there is mail; owned by the link.
    let wakeDescriptor: Int32
    private let letters = Mutex<[Letter]>([])
    private let hasLetters = Atomic<Bool>(false)
    private let shown = Mutex(Shown())

    /// What others see of the worker.
    private struct Shown: Sendable {
        var snapshot = WorkerSnapshot(core: Counters(), plane: PlaneCounters(), offloaded: AllocationTraffic())
        var tallies = PlaneTallies()
    }

    /// Fails only where the process has no descriptor left.
    public init() throws(SocketError) {
        wakeDescriptor = try WakeDescriptor.open()
    }

    deinit { WakeDescriptor.close(wakeDescriptor) }

    /// Tells the worker to end its allocations and leave.
    public func stop() { post(.stop) }

    /// Tells the worker to go on with another plane, and which are to take over from that.
    public func swap(to order: PlaneOrder) { post(.swap(order)) }

    /// Tells the worker's core to take over what of a configuration is no socket; see ``RelayCore/reconfigure(_:into:)``.
    public func reconfigure(_ configuration: Configuration) { post(.reconfigure(configuration)) }

    /// Tells the worker to answer new allocations as `admission` says, and to go on with the living ones.
    public func drain(_ admission: Admission) { post(.drain(admission)) }

    /// Sees whether the worker turns: it does if ``isAnswered`` says so soon.
    public func ping() { post(.ping) }

    /// Whether the worker has read all of its mail.
    public var isAnswered: Bool { !hasMail }

    /// What the worker showed last: at most about 100 ms old.
    public var snapshot: WorkerSnapshot { shown.withLock { $0.snapshot } }

    @usableFromInline
    func publish(_ snapshot: WorkerSnapshot) { shown.withLock { $0.snapshot = snapshot } }

    /// What each plane did for the worker, by name, as far as its last snapshot knows.
    public var planeTallies: [String: PlaneTally] {
        shown.withLock { $0.tallies.tallies(at: $0.snapshot) }
    }

    /// A plane takes over from the one before, which left these totals.
    func enter(_ plane: any DataPlane, core: Counters, offloaded: AllocationTraffic) {
        shown.withLock { shown in
            let last = WorkerSnapshot(core: core, plane: shown.snapshot.plane, offloaded: offloaded)
            shown.tallies.enter(plane, after: last)
            // The next plane's own counters begin anew.
            shown.snapshot = WorkerSnapshot(core: core, plane: PlaneCounters(), offloaded: offloaded)
        }
    }

    /// One relaxed load, every turn of the loop.
    @usableFromInline
    var hasMail: Bool { hasLetters.load(ordering: .acquiring) }

    func takeMail() -> [Letter] {
        letters.withLock { letters in
            hasLetters.store(false, ordering: .releasing)
            WakeDescriptor.drain(wakeDescriptor)
            defer { letters = [] }
            return letters
        }
    }

    private func post(_ letter: Letter) {
        letters.withLock { letters in
            letters.append(letter)
            hasLetters.store(true, ordering: .releasing)
            // Inside the lock: a signal behind the reader's back would stay for ever and keep the worker spinning.
            WakeDescriptor.signal(wakeDescriptor)
        }
    }
}

/// What a worker shows of itself.
public struct WorkerSnapshot: Sendable, BitwiseCopyable {
    public let core: Counters
    /// Of the plane that runs now.
    public let plane: PlaneCounters
    /// Payloads that planes relayed by themselves; they are in the core's totals too.
    public let offloaded: AllocationTraffic

    @inlinable
    public init(core: Counters, plane: PlaneCounters, offloaded: AllocationTraffic) {
        self.core = core
        self.plane = plane
        self.offloaded = offloaded
    }
}

extension Worker {
    /// Reads the mail; says how to leave if a letter asks for it. What the turn had to send has been flushed, and no
    /// letter makes the core send anything.
    @inlinable
    mutating func openMail<IO: DatagramIO & ~Copyable>(through io: inout IO, at moment: Moment) -> Departure? {
        let departure = readMail()
        if case .stopped = departure { core.retire(at: moment, into: &effects) }
        perform(through: &io, at: moment)
        link.publish(snapshot(io.counters))
        return departure
    }

    /// Of swaps the last one counts, and a stop beats everything.
    @usableFromInline
    mutating func readMail() -> Departure? {
        var departure: Departure?
        for letter in link.takeMail() {
            switch letter {
            case .stop: return .stopped
            case .swap(let order): departure = .swap(order)
            case .reconfigure(let configuration): core.reconfigure(configuration, into: &effects)
            case .drain(let admission): core.drain(admission)
            case .ping: break
            }
        }
        return departure
    }
}
