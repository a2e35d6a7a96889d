public import RelayCore
public import STUN
import Synchronization

/// How other threads reach a worker, and what they see of it.
public final class WorkerLink: Sendable {
    /// What a worker can be told.
    enum Letter: Sendable {
        case stop
        case swap(PlaneOrder)
        case reconfigure(Configuration, listeners: [TransportAddress]?)
        case closeListeners([TransportAddress])
        case giveUpListeners
        case drain(Admission)
        /// Nothing to do but to read it.
        case ping
    }

    /// Readable while there is mail; owned by the link.
    let wakeDescriptor: Int32
    private let mailbox = Mutex(Mailbox())
    private let hasLetters = Atomic<Bool>(false)
    private let shown = Mutex(Shown())

    private struct Mailbox: Sendable {
        var letters: [Letter] = []
        var inquiries: [Inquiry] = []
        /// The worker is gone.
        var isClosed = false
    }

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

    /// Tells the worker's core to take over a configuration; see ``RelayCore/reconfigure(_:into:)``.
    /// - Parameter listeners: those that are answered on from then on, of which the worker must have the sockets. One
    ///   that is not named any more takes no new allocations; one that was taken in and is not named is closed. Nothing:
    ///   they stay as they are.
    public func reconfigure(_ configuration: Configuration, listeners: [TransportAddress]? = nil) {
        post(.reconfigure(configuration, listeners: listeners))
    }

    /// Tells the worker to close the listeners that it has taken in and that nobody is answered on yet.
    public func giveUpListeners() { post(.giveUpListeners) }

    /// Tells the worker to close those of these listeners that leave and have no allocation left.
    public func closeListeners(_ addresses: [TransportAddress]) { post(.closeListeners(addresses)) }

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
    func enter(_ plane: any DataPlane, core: Counters, offloaded: AllocationTraffic, turns: TurnTimes) {
        shown.withLock { shown in
            let last = WorkerSnapshot(
                core: core, plane: shown.snapshot.plane, offloaded: offloaded, turns: turns)
            shown.tallies.enter(plane, after: last)
            // The next plane's own counters begin anew.
            shown.snapshot = WorkerSnapshot(
                core: core, plane: PlaneCounters(), offloaded: offloaded, turns: turns)
        }
    }

    /// One relaxed load, every turn of the loop.
    @usableFromInline
    var hasMail: Bool { hasLetters.load(ordering: .acquiring) }

    func takeMail() -> [Letter] {
        mailbox.withLock { mailbox in
            defer {
                mailbox.letters = []
                if mailbox.inquiries.isEmpty { emptied() }
            }
            return mailbox.letters
        }
    }

    /// The next question, if one waits. While more wait the worker stays awake.
    @usableFromInline
    func takeInquiry() -> Inquiry? {
        mailbox.withLock { mailbox in
            guard !mailbox.inquiries.isEmpty else { return nil }
            let first = mailbox.inquiries.removeFirst()
            if mailbox.inquiries.isEmpty, mailbox.letters.isEmpty {
                emptied()
            } else {
                // Again: a plane that watches for edges has seen this one.
                WakeDescriptor.signal(wakeDescriptor)
            }
            return first
        }
    }

    /// Nobody reads any more: questions have no answer from now on.
    func close() {
        let unread = mailbox.withLock { mailbox in
            mailbox.isClosed = true
            defer { mailbox.inquiries = [] }
            return mailbox.inquiries
        }
        for inquiry in unread { inquiry.answer(nil) }
    }

    /// Inside the lock: a signal behind the reader's back would stay for ever and keep the worker spinning.
    private func emptied() {
        hasLetters.store(false, ordering: .releasing)
        WakeDescriptor.drain(wakeDescriptor)
    }

    private func post(_ letter: Letter) {
        mailbox.withLock { mailbox in
            mailbox.letters.append(letter)
            filled()
        }
    }

    /// - Returns: false if nobody reads any more.
    func post(_ inquiry: Inquiry) -> Bool {
        mailbox.withLock { mailbox in
            guard !mailbox.isClosed else { return false }
            mailbox.inquiries.append(inquiry)
            filled()
            return true
        }
    }

    /// Inside the lock, as ``emptied()``.
    private func filled() {
        hasLetters.store(true, ordering: .releasing)
        WakeDescriptor.signal(wakeDescriptor)
    }
}

/// What a worker shows of itself.
public struct WorkerSnapshot: Sendable, BitwiseCopyable {
    public let core: Counters
    /// Of the plane that runs now.
    public let plane: PlaneCounters
    /// Payloads that planes relayed by themselves; they are in the core's totals too.
    public let offloaded: AllocationTraffic
    public let turns: TurnTimes

    @inlinable
    public init(
        core: Counters, plane: PlaneCounters, offloaded: AllocationTraffic, turns: TurnTimes = TurnTimes()
    ) {
        self.core = core
        self.plane = plane
        self.offloaded = offloaded
        self.turns = turns
    }
}

extension Worker {
    /// Reads the mail and answers one question; says how to leave if a letter asks for it. What the turn had to send has
    /// been flushed, and no letter makes the core send anything.
    @inlinable
    mutating func openMail<IO: DatagramIO & ~Copyable>(through io: inout IO, at moment: Moment) -> Departure? {
        let departure = readMail()
        closeListeners(through: &io)
        if case .stopped = departure { core.retire(at: moment, into: &effects) }
        let inquiry = link.takeInquiry()
        // Whoever was told that nobody answered must not be obeyed later.
        var answer = inquiry.flatMap { $0.isAwaited ? consider($0, at: moment) : nil }
        if let refusal = watchListeners(through: &io) { answer = .takenIn(refusal: refusal) }
        perform(through: &io, at: moment)
        link.publish(snapshot(io.counters))
        inquiry?.answer(answer)
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
            case .reconfigure(let configuration, let listeners):
                core.reconfigure(configuration, into: &effects)
                if let listeners { stand(listeners) }
            case .closeListeners(let addresses): retire(addresses)
            case .giveUpListeners: giveUpWaiting()
            case .drain(let admission): core.drain(admission)
            case .ping: break
            }
        }
        return departure
    }
}
