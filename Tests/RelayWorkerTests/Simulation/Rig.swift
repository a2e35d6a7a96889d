import RelayCore
import STUN
import TestSeed
import Testing

@testable import RelayWorker

/// One worker of a simulated relay with its plane, for scripts: say what happens, run, look.
final class Rig {
    let world: World
    let relay: SimulatedRelay
    let link: WorkerLink
    let plane: SimulatedPlane
    let seed: UInt64

    init(
        seed: UInt64 = testSeed, conditions: Conditions = Conditions(),
        _ configuration: Configuration = SimulatedRelay.defaults
    ) throws {
        self.seed = seed
        world = World(seed: seed, conditions: conditions)
        relay = SimulatedRelay(world, configuration)
        link = try WorkerLink()
        plane = SimulatedPlane(world, link)
    }

    func client(
        _ host: Int, port: UInt16 = 5000, of server: TransportAddress = SimulatedRelay.listener
    )
        -> SimulatedClient
    {
        SimulatedClient(world, at: .client(host, port: port), of: server)
    }

    /// A client that allocates and calls a peer: so many payloads each way, one a millisecond. `script` runs as they begin.
    func call(_ payloadCount: Int, _ script: @escaping () -> Void) {
        let client = client(1)
        let peer = SimulatedPeer(world, at: .peer(1))
        client.demand(.allocate())
        client.demand(.bind(0x4000, peer.address)) { [world] in
            guard let relayed = client.relayed else { return world.violate("no allocation") }
            let out = world.payloads.open(to: peer.address, seenFrom: relayed)
            let back = world.payloads.open(to: client.address, seenFrom: peer.address)
            for number in 0..<payloadCount {
                world.after(milliseconds: number) {
                    let payloads = [out, back].map { Payload(flow: $0, number: UInt32(number)) }
                    for payload in payloads { world.payloads.expect(payload) }
                    client.send(payloads[0].bytes, channel: 0x4000)
                    peer.send(payloads[1].bytes, to: relayed)
                }
            }
            script()
        }
    }

    /// Runs a worker until its script stops it; then it is gone, and so are its sockets.
    func run(listeners: [TransportAddress] = [SimulatedRelay.listener]) throws {
        var worker = try relay.worker(listeners: listeners, link: link)
        guard case .stopped = try plane.run(&worker) else {
            return world.violate("the worker went on with another plane")
        }
    }

    /// What holds after every script that ended in a stop.
    var problems: [String] {
        var problems = world.violations + world.sockets.violations
        if !world.sockets.open.isEmpty {
            problems.append("sockets are open: \(world.sockets.open.values.map(\.local))")
        }
        if plane.attachedRoles.contains(.relay) { problems.append("a relay socket is still attached") }
        let notes = relay.notes
        if notes.createdCount != notes.ended.count {
            problems.append("\(notes.createdCount) allocations began, \(notes.ended.count) ended")
        }
        let counters = link.snapshot.core
        if counters.allocations + counters.permissions + counters.channels != 0 {
            problems.append("the gauges do not return to zero")
        }
        let sent = link.snapshot.plane
        if sent.sentDatagrams + sent.sendQueueFull != plane.queuedCount {
            problems.append(
                "\(plane.queuedCount) datagrams queued, \(sent.sentDatagrams) sent, \(sent.sendQueueFull) dropped")
        }
        return problems
    }

    /// Records what is wrong, with the seed.
    func expectNoProblems(_ location: SourceLocation = #_sourceLocation) {
        let problems = problems
        #expect(problems.isEmpty, "RELAYD_TEST_SEED=\(seed)", sourceLocation: location)
    }
}
