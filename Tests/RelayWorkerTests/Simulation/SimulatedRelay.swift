import RelayCore
import STUN
import Synchronization
import TestSeed

@testable import RelayWorker

/// What the workers of one simulated relay share, and the workers' parts.
final class SimulatedRelay: Sendable {
    let world: World
    let configuration: Configuration
    let ledger: RelayLedger
    let reserved: ReservedSockets
    let notes = NoteLog()

    static let listener = TransportAddress(IPAddress(v4: 0xC633_6401), port: 3478)
    static let relayAddress = IPAddress(v4: 0xC633_6402)

    init(_ world: World, _ configuration: Configuration = SimulatedRelay.defaults) {
        self.world = world
        self.configuration = configuration
        ledger = RelayLedger(relayAddresses: configuration.relayAddresses)
        reserved = ReservedSockets(opener: world.sockets)
    }

    static var defaults: Configuration {
        var configuration = Configuration()
        configuration.users = [
            StaticUser(name: "alice", password: "secret"), StaticUser(name: "bob", password: "hidden"),
        ]
        configuration.relayAddresses = [RelayAddress(address: relayAddress)]
        configuration.ownAddresses = [listener.ip, relayAddress]
        return configuration
    }

    func worker(
        _ number: Int = 0, of count: Int = 1, listeners: [TransportAddress] = [SimulatedRelay.listener],
        link: WorkerLink
    ) throws -> Worker {
        let core = RelayCore(
            configuration, ledger: ledger, worker: number, of: count,
            entropy: .seeded(world.generator.next()),
            at: Moment(monotonic: world.now, wallSeconds: world.wallSeconds))
        return try Worker(
            core: core, listeners: listeners, opener: world.sockets, reserved: reserved, link: link,
            notes: { [notes] in notes.add($0) })
    }
}

/// The notes of a relay, in order.
final class NoteLog: Sendable {
    private let notes = Mutex<[Note]>([])

    func add(_ note: Note) { notes.withLock { $0.append(note) } }

    var all: [Note] { notes.withLock { $0 } }

    var createdCount: Int { all.count { if case .allocationCreated = $0 { true } else { false } } }

    /// What ended allocations carried, and why they ended.
    var ended: [(reason: AllocationEnd, traffic: AllocationTraffic, summary: AllocationSummary)] {
        all.compactMap { note in
            guard case .allocationEnded(let summary, let reason, let traffic, _) = note else { return nil }
            return (reason, traffic.total, summary)
        }
    }
}

extension TransportAddress {
    /// 10.0.`host`.1, a client.
    static func client(_ host: Int, port: UInt16 = 5000) -> TransportAddress {
        TransportAddress(IPAddress(v4: 0x0A00_0001 | UInt32(host) << 8), port: port)
    }

    /// 5.1.`host`.1, a public address: a peer.
    static func peer(_ host: Int, port: UInt16 = 7000) -> TransportAddress {
        TransportAddress(IPAddress(v4: 0x0501_0001 | UInt32(host) << 8), port: port)
    }
}
