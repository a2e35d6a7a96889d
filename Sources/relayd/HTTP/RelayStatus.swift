import DataPlaneXDP
import RelayCore
import RelayWorker
import STUN

/// What `/status` says, as JSON with keys in snake_case.
struct RelayStatus: Codable, Sendable {
    let version: String
    let workers: Int
    /// New allocations are refused, and the process ends with the last living one.
    let draining: Bool
    let allocations: UInt64
    let permissions: UInt64
    let channels: UInt64
    let listeners: [ListenerStatus]
    let relayAddresses: [RelayAddressStatus]
    /// Workers that cannot keep up and do not answer clients without an allocation.
    let shedding: UInt64
    let plane: PlaneStatus
    /// What each plane said of this host; `auto` asks XDP while the relay runs already.
    let candidates: [Candidate]
    /// The program in the kernel, while it is loaded.
    let xdp: XDPStatus?

    struct ListenerStatus: Codable, Sendable {
        let address: String
        /// `open`, or `leaving`: no new allocations, and closed after the last living one.
        let state: String
        /// What lives on it, where it leaves.
        let allocations: Int?
    }

    struct RelayAddressStatus: Codable, Sendable {
        let address: String
        let external: String?
        /// `open`, or `leaving`: no new allocations.
        let state: String
        /// Relayed transport addresses that live on it, and ports that EVEN-PORT keeps for 30 s.
        let relayed: Int
    }

    struct PlaneStatus: Codable, Sendable {
        let name: String
        /// The userspace plane that does what the kernel leaves.
        let slowPath: String
        let does: String
        /// `start`, `swap` (asked for while running) or `fallback` (another one failed).
        let cause: String
        /// False while workers are on their way.
        let settled: Bool
        let workers: [String: Int]
        let fallbacks: [String]
        /// The planes that failed since the last change that was asked for.
        let failures: [Failure]
    }

    struct Failure: Codable, Sendable {
        let plane: String
        let reason: String
    }

    struct Candidate: Codable, Sendable {
        let name: String
        /// `usable`, `refused` or `untried`.
        let verdict: String
        let does: String?
        let reason: String?
    }

    struct XDPStatus: Codable, Sendable {
        let attachments: [String]
        /// Why interfaces that got an address of the relay have no program.
        let refusedInterfaces: [String]
        let routes: Int
        let refusedRoutes: UInt64
    }

    init(_ server: RelayServer) {
        let snapshots = server.snapshots
        let now = server.planes.status
        version = Version.number
        workers = snapshots.count
        draining = server.drain.isDraining
        allocations = snapshots.reduce(0) { $0 + $1.core.allocations }
        permissions = snapshots.reduce(0) { $0 + $1.core.permissions }
        channels = snapshots.reduce(0) { $0 + $1.core.channels }
        listeners = ListenerStatus.all(of: server.addresses.served)
        relayAddresses = RelayAddressStatus.all(of: server.addresses)
        shedding = snapshots.reduce(0) { $0 + $1.core.isShedding }
        plane = PlaneStatus(now)
        candidates = server.planes.candidates.map { Candidate($0) }
        xdp = server.xdp.map { session in
            let statistics = session.statistics
            return XDPStatus(
                attachments: statistics.attachments, refusedInterfaces: statistics.refusals.map(\.description),
                routes: statistics.routes, refusedRoutes: statistics.refusedRoutes)
        }
    }
}

extension RelayStatus.ListenerStatus {
    static func all(of served: ServedAddresses) -> [Self] {
        let leaving = served.leavingListeners.map { (address: $0.key.description, allocations: $0.value) }
        return served.listeners.map { Self(address: $0.description, state: "open", allocations: nil) }
            + leaving.sorted { $0.address < $1.address }.map {
                Self(address: $0.address, state: "leaving", allocations: $0.allocations)
            }
    }
}

extension RelayStatus.RelayAddressStatus {
    static func all(of addresses: AddressKeeper) -> [Self] {
        let served = addresses.served
        let states = served.relayAddresses.map { ($0, "open") } + served.leavingRelayAddresses.map { ($0, "leaving") }
        return states.map { relay, state in
            Self(
                address: relay.address.description, external: relay.external?.description, state: state,
                relayed: addresses.relayedCount(on: relay.address))
        }
    }
}

extension RelayStatus.PlaneStatus {
    init(_ status: PlaneSupervisor.Status) {
        name = status.plane
        slowPath = status.slowPath
        does = status.promise
        cause = status.cause.rawValue
        settled = status.isSettled
        workers = status.workersByPlane
        fallbacks = status.fallbacks
        failures = status.failures.map { RelayStatus.Failure(plane: $0.plane, reason: $0.reason.description) }
    }
}

extension RelayStatus.Candidate {
    init(_ candidate: PlaneChoice.Candidate) {
        name = candidate.name
        switch candidate.probe {
        case .usable(let promise): (verdict, does, reason) = ("usable", promise, nil)
        case .refused(let error): (verdict, does, reason) = ("refused", nil, error.description)
        case .untried: (verdict, does, reason) = ("untried", nil, nil)
        }
    }
}
