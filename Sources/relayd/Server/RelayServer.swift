import DataPlaneXDP
import Glibc
import Logging
import RelayCore
import RelayWorker
import STUN
import ServiceLifecycle

/// The workers of one relay, from the binding of their listeners to the end of their threads.
final class RelayServer: Service {
    /// Which plane runs, and how that changes.
    let planes: PlaneSupervisor
    /// How each worker is reached and what it shows.
    let links: [WorkerLink]
    /// Where the relay listens and relays, and how that changes.
    let addresses: AddressKeeper
    /// How the relay ends without cutting anybody off.
    let drain: Drain
    private let threads: [WorkerThread]
    private let events: AsyncStream<WorkerEvent>
    private let logger: Logger

    /// Binds everything and starts the threads: when this returns, the relay answers.
    init(_ settings: Settings, logger: Logger) throws(StartError) {
        self.logger = logger
        let configuration = try settings.coreConfiguration()
        let count = settings.workers ?? max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        let catalogue = PlaneCatalogue(
            settings, ServedAddresses(listeners: settings.listen, relayAddresses: configuration.relayAddresses),
            logger: logger)
        do throws(PlaneError) {
            planes = try PlaneSupervisor(settings, catalogue, workers: count, logger: logger)
        } catch {
            throw StartError(error.description, .unavailable)
        }
        // Without more descriptors there are fewer allocations, each refused with its reason; nothing else breaks.
        _ = try? SystemSockets.raiseDescriptorLimit()
        let opener = SystemSockets(
            receiveBufferBytes: settings.receiveBufferBytes, sendBufferBytes: settings.sendBufferBytes)
        do throws(SocketError) {
            try opener.checkAddresses(settings.listen, configuration.relayAddresses)
        } catch {
            throw StartError(error.description, .unavailable)
        }

        let crew = Crew(configuration, settings, count: count, opener: opener, logger: logger)
        let (events, reporter) = AsyncStream.makeStream(of: WorkerEvent.self)
        self.events = events
        let mustStart = settings.plane != .auto && !settings.fallsBack
        var links: [WorkerLink] = []
        var threads: [WorkerThread] = []
        do {
            // All listeners are bound before the first worker runs, so that the kernel's hash never shifts under a client.
            var workers: [Box] = []
            for number in 0..<crew.count {
                let link = try WorkerLink()
                workers.append(Box(try crew.worker(number, link)))
                links.append(link)
            }
            planes.supervise(links)
            let planes = planes
            for (number, box) in workers.enumerated() {
                let thread = try WorkerThread(
                    box.take(), number: number, planes: planes.order, mustStart: mustStart
                ) { event in
                    planes.note(event, of: number)
                    reporter.yield(event)
                }
                threads.append(thread)
            }
        } catch {
            for link in links { link.stop() }
            throw StartError("\(error)", .unavailable)
        }
        self.links = links
        self.threads = threads
        drain = Drain(links, settings, logger: logger)
        addresses = AddressKeeper(configuration, settings, links, opener, crew.ledger, catalogue, logger: logger)
    }

    /// Waits for the end: a graceful shutdown, or a worker that no plane can carry any more.
    func run() async throws {
        defer { stop() }
        // Nobody waits for it: the relay answers, and may end before.
        Task { [planes] in await planes.bringUpXDP() }
        for await event in events.cancelOnGracefulShutdown() {
            guard case .ended(.failed(let error)) = event else { continue }
            throw StartError(error.description, .unavailable)
        }
    }

    /// Ends every allocation, for the record, and waits for the threads.
    private func stop() {
        for link in links { link.stop() }
        for thread in threads { thread.join() }
    }

    /// What each worker shows.
    var snapshots: [WorkerSnapshot] { links.map(\.snapshot) }

    /// The sessions of all workers.
    var sessions: SessionBook { SessionBook(links: links) }

    /// What each plane did, all workers added up.
    var planeTallies: [String: PlaneTally] {
        links.reduce(into: [:]) { sums, link in
            for (plane, tally) in link.planeTallies { sums[plane, default: PlaneTally()].add(tally) }
        }
    }

    /// The XDP program, once it is loaded.
    var xdp: XDPSession? { planes.catalogue.xdp }
}

/// What the workers of one relay share.
private struct Crew {
    let configuration: Configuration
    let listeners: [TransportAddress]
    let opener: SystemSockets
    let count: Int
    let ledger: RelayLedger
    private let reserved: ReservedSockets
    private let notes: NoteLog

    init(_ configuration: Configuration, _ settings: Settings, count: Int, opener: SystemSockets, logger: Logger) {
        self.configuration = configuration
        self.opener = opener
        listeners = settings.listen
        self.count = count
        ledger = RelayLedger(relayAddresses: configuration.relayAddresses)
        reserved = ReservedSockets(opener: opener)
        notes = NoteLog(logger: logger)
    }

    func worker(_ number: Int, _ link: WorkerLink) throws(SocketError) -> Worker {
        let core = RelayCore(configuration, ledger: ledger, worker: number, of: count, at: SystemClock.now())
        let notes = notes
        return try Worker(
            core: core, listeners: listeners, opener: opener, reserved: reserved, link: link, notes: { notes($0) })
    }
}

/// A worker in an array: arrays hold nothing that cannot be copied.
private final class Box {
    private var worker: Worker?

    init(_ worker: consuming Worker) { self.worker = consume worker }

    func take() -> Worker {
        guard let worker = worker.take() else { preconditionFailure("a worker starts once") }
        return worker
    }
}
