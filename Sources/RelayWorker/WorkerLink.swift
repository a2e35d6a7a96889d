public import RelayCore
import Synchronization

/// How other threads reach a worker, and what they see of it.
public final class WorkerLink: Sendable {
    /// What a worker can be told.
    enum Letter: Sendable {
        case stop
        case swap(PlaneOrder)
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
    /// Reads the mail; says how to leave if a letter asks for it. What the turn had to send has been flushed, and the
    /// end of an allocation sends nothing.
    @inlinable
    mutating func openMail<IO: DatagramIO & ~Copyable>(through io: inout IO, at moment: Moment) -> Departure? {
        guard let departure = readMail() else { return nil }
        if case .stopped = departure {
            core.retire(at: moment, into: &effects)
            perform(through: &io, at: moment)
        }
        link.publish(snapshot(io.counters))
        return departure
    }

    /// The last letter counts, and a stop beats everything.
    @usableFromInline
    func readMail() -> Departure? {
        var departure: Departure?
        for letter in link.takeMail() {
            switch letter {
            case .stop: return .stopped
            case .swap(let order): departure = .swap(order)
            }
        }
        return departure
    }
}
