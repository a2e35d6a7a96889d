import DataPlaneSocket
import DataPlaneXDP
import Glibc
import Logging
import RelayCore
import RelayWorker
import STUN
import ServiceLifecycle

/// The workers of one relay, from the binding of their listeners to the end of their threads.
final class RelayServer: Service {
    let choice: PlaneChoice
    /// How each worker is reached and what it shows.
    let links: [WorkerLink]
    let configuration: Configuration
    /// The XDP program, while the plane is one that uses it.
    let xdp: XDPSession?
    private let threads: [WorkerThread]
    private let events: AsyncStream<WorkerEvent>
    private let logger: Logger

    /// Binds everything and starts the threads: when this returns, the relay answers.
    init(_ settings: Settings, logger: Logger) throws(StartError) {
        self.logger = logger
        configuration = try settings.coreConfiguration()
        let catalogue = PlaneCatalogue(
            settings, relayAddresses: configuration.relayAddresses.map(\.address), loadsXDP: settings.plane == .xdp)
        do throws(PlaneError) {
            choice = try PlaneChoice.choose(among: catalogue.candidates, requested: settings.plane.requested)
        } catch {
            throw StartError(error.description, .unavailable)
        }
        xdp = choice.chosen == "xdp" ? catalogue.xdp : nil
        // Without more descriptors there are fewer allocations, each refused with its reason; nothing else breaks.
        _ = try? SystemSockets.raiseDescriptorLimit()
        let opener = SystemSockets(
            receiveBufferBytes: settings.receiveBufferBytes, sendBufferBytes: settings.sendBufferBytes)
        try Self.checkAddresses(settings.listen, configuration.relayAddresses, opener)

        let crew = Crew(configuration, settings, opener: opener, logger: logger)
        let (events, reporter) = AsyncStream.makeStream(of: WorkerEvent.self)
        self.events = events
        let planes = catalogue.planes(of: choice)
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
            for (number, box) in workers.enumerated() {
                threads.append(
                    try WorkerThread(box.take(), number: number, planes: planes) { reporter.yield($0) })
            }
        } catch {
            for link in links { link.stop() }
            throw StartError("\(error)", .unavailable)
        }
        self.links = links
        self.threads = threads
    }

    /// Waits for the end: a graceful shutdown, or a worker that no plane can carry any more.
    func run() async throws {
        defer { stop() }
        for await event in events.cancelOnGracefulShutdown() {
            switch event {
            case .started(let plane): logger.info("data plane started", metadata: ["plane": "\(plane)"])
            case .failed(let plane, let error):
                logger.error("data plane failed", metadata: ["plane": "\(plane)", "reason": "\(error)"])
            case .ended(.failed(let error)): throw StartError(error.description, .unavailable)
            case .ended(.stopped): break
            }
        }
    }

    /// Ends every allocation, for the record, and waits for the threads.
    private func stop() {
        for link in links { link.stop() }
        for thread in threads { thread.join() }
    }

    /// What all workers show, added up.
    var snapshots: [WorkerSnapshot] { links.map(\.snapshot) }

    /// A port that another program has, and an address that is not ours, are found before anything is started.
    private static func checkAddresses(
        _ listeners: [TransportAddress], _ relays: [RelayAddress], _ opener: SystemSockets
    ) throws(StartError) {
        do throws(SocketError) {
            for listener in listeners { try opener.checkListenerIsFree(at: listener) }
            for relay in relays { opener.close(try opener.openRelay(at: TransportAddress(relay.address, port: 0))) }
        } catch {
            throw StartError(error.description, .unavailable)
        }
    }
}

/// What the workers of one relay share.
private struct Crew {
    let configuration: Configuration
    let listeners: [TransportAddress]
    let opener: SystemSockets
    let count: Int
    private let ledger: RelayLedger
    private let reserved: ReservedSockets
    private let notes: NoteLog

    init(_ configuration: Configuration, _ settings: Settings, opener: SystemSockets, logger: Logger) {
        self.configuration = configuration
        self.opener = opener
        listeners = settings.listen
        count = settings.workers ?? max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
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
