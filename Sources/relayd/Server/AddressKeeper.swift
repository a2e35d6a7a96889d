import Logging
import RelayCore
import RelayWorker
import STUN
import Synchronization

/// Keeps all workers on one set of listeners and relay addresses, and changes it while the relay runs: on all workers, or
/// not at all. Whoever changes it sees to it that there is one change at a time.
final class AddressKeeper: Sendable {
    private struct State: Sendable {
        var configuration: Configuration
        var served: ServedAddresses
        var external: [IPAddress]

        /// What is this host's own. What is known by the outside as well stands behind it.
        var host: [IPAddress] { configuration.ownAddresses.dropLast(external.count) }
    }

    private let links: [WorkerLink]
    private let opener: SystemSockets
    private let ledger: RelayLedger
    private let catalogue: PlaneCatalogue
    private let logger: Logger
    private let readHost: HostReader
    private let state: Mutex<State>

    /// Reads the addresses of this host.
    typealias HostReader = @Sendable () throws(PlaneError) -> [IPAddress]

    /// - Parameter configuration: what the workers started with.
    init(
        _ configuration: Configuration, _ settings: Settings, _ links: [WorkerLink], _ opener: SystemSockets,
        _ ledger: RelayLedger, _ catalogue: PlaneCatalogue, logger: Logger,
        readHost: @escaping HostReader = { () throws(PlaneError) in try HostAddresses.all() }
    ) {
        self.links = links
        self.opener = opener
        self.ledger = ledger
        self.catalogue = catalogue
        self.logger = logger
        self.readHost = readHost
        state = Mutex(
            State(
                configuration: configuration,
                served: ServedAddresses(listeners: settings.listen, relayAddresses: configuration.relayAddresses),
                external: settings.externalAddresses))
    }

    var configuration: Configuration { state.withLock { $0.configuration } }

    var served: ServedAddresses { state.withLock { $0.served } }

    /// How many relayed transport addresses live on a relay address.
    func relayedCount(on address: IPAddress) -> Int { ledger.relayedCount(on: address) }

    // MARK: Changes that are asked for

    /// Has all workers take over what can change while they run. Living allocations are not touched.
    /// - Throws: where a new address cannot be had on any worker. Then nothing has changed, and what was opened is closed.
    func apply(_ settings: Settings) async throws(AddressError) {
        let before = state.withLock { $0 }
        let host = hostAddresses(else: before.host)
        let configuration = try Self.configuration(settings, host, before.served)
        let missing = before.served.missing(settings.listen)
        let newRelays = configuration.relayAddresses.filter { relay in
            !before.served.relayAddresses.contains { $0.address == relay.address }
        }
        for address in missing {
            if let rival = before.served.rival(of: address) { throw AddressError(address, rival: rival) }
        }
        try await open(missing, newRelays)

        var served = before.served
        served.change(to: settings.listen, configuration.relayAddresses)
        // First: a route to one of these may be installed as soon as a worker has read its letter.
        catalogue.follow(served)
        for link in links { link.reconfigure(configuration, listeners: settings.listen) }
        let now = served
        state.withLock {
            $0 = State(configuration: configuration, served: now, external: settings.externalAddresses)
        }
        report(from: before.served, to: now)
        await finishLeaving()
    }

    /// What the host says, or what it said before, if it does not say.
    private func hostAddresses(else former: [IPAddress]) -> [IPAddress] {
        do throws(PlaneError) {
            return try readHost()
        } catch {
            logger.warning("host addresses kept", metadata: ["reason": "\(error)"])
            return former
        }
    }

    private static func configuration(
        _ settings: Settings, _ host: [IPAddress], _ served: ServedAddresses
    ) throws(AddressError) -> Configuration {
        do throws(StartError) {
            return try settings.coreConfiguration(
                host: host,
                routed: HostAddresses.ofDefaultRoutes(keeping: served.relayAddresses.map(\.address), of: host))
        } catch {
            throw AddressError(error.description)
        }
    }

    /// Opens each listener once a worker, and has every worker's plane watch its own.
    private func open(_ listeners: [TransportAddress], _ relays: [RelayAddress]) async throws(AddressError) {
        var sockets: [[ListenerSocket]] = []
        do throws(SocketError) {
            try opener.checkAddresses(listeners, relays)
            guard !listeners.isEmpty else { return }
            // All of a group before any is answered on, so that the kernel's hash never shifts under a client.
            for _ in links {
                var share: [ListenerSocket] = []
                for address in listeners { share.append(try ListenerSocket(at: address, opener)) }
                sockets.append(share)
            }
        } catch {
            throw AddressError(error.description)
        }
        for (worker, link) in links.enumerated() {
            do throws(PlaneError) {
                try await link.takeIn(sockets[worker])
            } catch {
                await giveUp(sockets)
                throw AddressError("worker \(worker) cannot take its listeners: \(error)")
            }
        }
    }

    /// Closes sockets that no worker has taken, and has the workers close those that they have.
    private func giveUp(_ sockets: [[ListenerSocket]]) async {
        for socket in sockets.joined() { socket.close() }
        for link in links { link.giveUpListeners() }
        // An answer says that the letter before it has been read.
        for link in links { _ = await link.leavingListeners() }
    }

    // MARK: What follows by itself

    /// Whether ``finishLeaving()`` is to be called again.
    var isChanging: Bool { served.isChanging }

    /// Closes the listeners that leave and have no allocation left on any worker, and forgets the relay addresses that have
    /// none. A listener closes on all workers at once: the kernel would hash the clients of the others anew.
    func finishLeaving() async {
        var served = served
        guard served.isChanging else { return }
        var counts = served.leavingListeners.mapValues { _ in 0 }
        for link in links {
            // A worker that is silent may have allocations.
            guard let share = await link.leavingListeners() else { return }
            counts.merge(share, uniquingKeysWith: +)
        }
        let idle = counts.filter { $0.value == 0 }.keys.sorted { $0.description < $1.description }
        if !idle.isEmpty {
            for link in links { link.closeListeners(idle) }
            for link in links { _ = await link.leavingListeners() }
        }
        for address in idle { logger.notice("listener closed", metadata: ["address": "\(address)"]) }
        served.leavingListeners = counts.filter { $0.value > 0 }
        let ended = served.leavingRelayAddresses.filter { ledger.relayedCount(on: $0.address) == 0 }
        for relay in ended { logger.notice("relay address left", metadata: ["address": "\(relay.address)"]) }
        served.leavingRelayAddresses.removeAll { ended.contains($0) }
        let now = served
        state.withLock { $0.served = now }
        catalogue.follow(now)
    }

    /// Peers must not reach the addresses that the host has by now. Where the host does not say, the former ones hold.
    func followHost() {
        let before = state.withLock { $0 }
        let host = hostAddresses(else: before.host)
        let (gained, lost) = (Set(host).subtracting(before.host), Set(before.host).subtracting(host))
        guard !gained.isEmpty || !lost.isEmpty else { return }
        var configuration = before.configuration
        configuration.ownAddresses = host + before.external
        let now = configuration
        state.withLock { $0.configuration = now }
        for link in links { link.reconfigure(now) }
        logger.info(
            "host addresses changed",
            metadata: ["added": "\(Self.text(gained))", "removed": "\(Self.text(lost))"])
    }

    private static func text(_ addresses: Set<IPAddress>) -> String {
        addresses.isEmpty ? "none" : addresses.map(\.description).sorted().joined(separator: ",")
    }

    // MARK: Report

    private func report(from before: ServedAddresses, to now: ServedAddresses) {
        for address in now.listeners where !before.listeners.contains(address) {
            logger.notice("listener opened", metadata: ["address": "\(address)"])
        }
        for address in before.listeners where !now.listeners.contains(address) {
            logger.notice(
                "listener leaves",
                metadata: ["address": "\(address)", "does": "no new allocations; closes after the last living one"])
        }
        for relay in now.relayAddresses where !before.relayAddresses.contains(relay) {
            let external = relay.external.map { ["external": "\($0)"] as Logger.Metadata } ?? [:]
            logger.notice("relay address", metadata: ["address": "\(relay.address)"].merging(external) { $1 })
        }
        for relay in before.relayAddresses where !now.relayAddresses.contains(where: { $0.address == relay.address }) {
            logger.notice(
                "relay address leaves",
                metadata: ["address": "\(relay.address)", "does": "no new allocations; the living ones go on"])
        }
    }
}

extension SystemSockets {
    /// A port that another program has, and an address that is not ours, are found before anything changes.
    func checkAddresses(_ listeners: [TransportAddress], _ relays: [RelayAddress]) throws(SocketError) {
        for listener in listeners { try checkListenerIsFree(at: listener) }
        for relay in relays { close(try openRelay(at: TransportAddress(relay.address, port: 0))) }
    }
}
