import Foundation
import RelayCore
import STUN
import Synchronization
import Testing

@testable import RelayWorker

/// What a worker is told by others.
@Suite struct MailTests {
    @Test func aStopAnswersWhatCameBeforeItAndEndsTheAllocations() throws {
        let rig = try Rig(conditions: Self.oneBatch)
        let clients = (1...3).map { rig.client($0) }
        clients[0].demand(.allocate())
        clients[1].demand(.allocate()) {
            clients[2].transmit(clients[2].encode(.binding, clients[2].newTransactionID()))
            rig.world.after(milliseconds: 1) { rig.link.stop() }
        }
        try rig.run()
        try rig.world.settle()
        #expect(clients[2].answers.count == 1)
        #expect(rig.relay.notes.ended.map(\.reason) == [.stopped, .stopped])
        rig.expectNoProblems()
    }

    /// What happens within 10 ms is there when the next turn begins.
    private static var oneBatch: Conditions {
        var conditions = Conditions()
        conditions.batchingMicroseconds = 10_000...10_000
        return conditions
    }

    @Test func aSwapKeepsEverything() throws {
        let rig = try Rig()
        let second = SimulatedPlane(rig.world, rig.link, name: "second")
        rig.call(50) {
            rig.world.after(milliseconds: 20) { rig.link.swap(to: PlaneOrder(second)) }
            rig.world.after(milliseconds: 100) { rig.link.stop() }
        }
        var worker = try rig.relay.worker(link: rig.link)
        var events: [String] = []
        let ending = worker.work(on: PlaneOrder(rig.plane)) { events.append("\($0)") }
        #expect(ending == .stopped)
        #expect(
            events == [
                "started(plane: \"simulated\")", "started(plane: \"second\")",
                "ended(RelayWorker.WorkerEnding.stopped)",
            ])
        #expect(rig.world.payloads.arrivedCount == 100 && rig.world.payloads.unaccounted.isEmpty)
        #expect(rig.relay.notes.createdCount == 1 && rig.relay.notes.ended.map(\.reason) == [.stopped])
        #expect(rig.world.violations.isEmpty && rig.world.sockets.violations.isEmpty)
    }

    /// What the first plane has taken from the sockets when the letter comes is relayed by it.
    @Test func aSwapLeavesNothingBehind() throws {
        var conditions = Self.oneBatch
        conditions.batchLimit = 4
        let rig = try Rig(conditions: conditions)
        let second = SimulatedPlane(rig.world, rig.link, name: "second")
        let client = rig.client(1)
        let peer = SimulatedPeer(rig.world, at: .peer(1))
        client.demand(.allocate())
        client.demand(.bind(0x4000, peer.address)) {
            guard let relayed = client.relayed else { return rig.world.violate("no allocation") }
            let out = rig.world.payloads.open(to: peer.address, seenFrom: relayed)
            rig.world.after(milliseconds: 1) {
                for number in 0..<50 {
                    let payload = Payload(flow: out, number: UInt32(number))
                    rig.world.payloads.expect(payload)
                    client.send(payload.bytes, channel: 0x4000)
                }
            }
            rig.world.after(milliseconds: 2) { rig.link.swap(to: PlaneOrder(second)) }
            rig.world.after(milliseconds: 100) { rig.link.stop() }
        }
        var worker = try rig.relay.worker(link: rig.link)
        #expect(worker.work(on: PlaneOrder(rig.plane)) { _ in } == .stopped)
        #expect(rig.world.payloads.arrivedCount == 50 && rig.world.payloads.unaccounted.isEmpty)
        // And by no other.
        #expect(rig.plane.queuedCount >= 50)
        #expect(rig.world.violations.isEmpty && rig.world.sockets.violations.isEmpty)
    }

    @Test func theSnapshotIsOfThePlaneThatRuns() throws {
        let rig = try Rig()
        var snapshots: [WorkerSnapshot] = []
        rig.client(1).demand(.binding)
        rig.world.after(milliseconds: 200) {
            snapshots.append(rig.link.snapshot)
            rig.link.swap(to: PlaneOrder(SimulatedPlane(rig.world, rig.link, name: "second")))
        }
        rig.world.after(milliseconds: 210) {
            snapshots.append(rig.link.snapshot)
            rig.link.stop()
        }
        var worker = try rig.relay.worker(link: rig.link)
        #expect(worker.work(on: PlaneOrder(rig.plane)) { _ in } == .stopped)
        #expect(snapshots.map(\.plane.receivedDatagrams) == [1, 0])
        #expect(snapshots.map { $0.core[.binding, .success] } == [1, 1])
        #expect(rig.world.violations.isEmpty)
    }

    /// Three payloads by one plane, two by the next, one by the first again.
    @Test func whatEachPlaneDidIsKeptApart() throws {
        let rig = try Rig()
        let second = SimulatedPlane(rig.world, rig.link, name: "second")
        let client = rig.client(1)
        let peer = SimulatedPeer(rig.world, at: .peer(1))
        client.demand(.allocate())
        client.demand(.bind(0x4000, peer.address)) {
            guard let relayed = client.relayed else { return rig.world.violate("no allocation") }
            let out = rig.world.payloads.open(to: peer.address, seenFrom: relayed)
            for number in 0..<6 {
                rig.world.after(milliseconds: 10 * number) {
                    let payload = Payload(flow: out, number: UInt32(number))
                    rig.world.payloads.expect(payload)
                    client.send(payload.bytes, channel: 0x4000)
                }
            }
            rig.world.after(milliseconds: 25) { rig.link.swap(to: PlaneOrder(second)) }
            rig.world.after(milliseconds: 45) { rig.link.swap(to: PlaneOrder(rig.plane)) }
            rig.world.after(milliseconds: 300) { rig.link.stop() }
        }
        var worker = try rig.relay.worker(link: rig.link)
        #expect(worker.work(on: PlaneOrder(rig.plane)) { _ in } == .stopped)
        let tallies = rig.link.planeTallies
        #expect(tallies["simulated"]?.channelTraffic.packetsToPeers == 4)
        #expect(tallies["second"]?.channelTraffic.packetsToPeers == 2)
        #expect(rig.link.snapshot.core.channelTraffic.packetsToPeers == 6)
        let received = tallies.values.reduce(0) { $0 + $1.counters.receivedDatagrams }
        #expect(received == tallies["simulated", default: PlaneTally()].counters.receivedDatagrams + 2)
        #expect(rig.world.violations.isEmpty)
    }

    /// An offload's share is told apart from that of the plane below it.
    @Test func anOffloadHasATallyOfItsOwn() {
        struct Above: DataPlane {
            let name = "above"
            let slowPathName = "below"
            func run(_ worker: inout Worker) throws(PlaneError) -> Departure { .stopped }
        }
        var tallies = PlaneTallies()
        let empty = WorkerSnapshot(core: Counters(), plane: PlaneCounters(), offloaded: AllocationTraffic())
        tallies.enter(Above(), after: empty)
        var core = Counters()
        core.channelTraffic.packetsToPeers = 10
        var offloaded = AllocationTraffic()
        offloaded.packetsToPeers = 7
        let now = WorkerSnapshot(core: core, plane: PlaneCounters(), offloaded: offloaded)
        #expect(tallies.tallies(at: now)["above"]?.channelTraffic.packetsToPeers == 7)
        #expect(tallies.tallies(at: now)["below"]?.channelTraffic.packetsToPeers == 3)
        tallies.enter(Above(), after: now)
        #expect(tallies.tallies(at: now)["above"]?.channelTraffic.packetsToPeers == 7)
    }

    /// The letter comes with the last of ten Allocates: all of them are answered by the plane that leaves.
    @Test func aSwapWaitsForTheControlsOfItsTurn() throws {
        let rig = try Rig(conditions: Self.oneBatch)
        let clients = (1...10).map { rig.client($0) }
        for client in clients { client.transmit(client.encode(.binding, client.newTransactionID())) }
        rig.world.after(milliseconds: 1) { rig.link.swap(to: PlaneOrder(rig.plane)) }
        var worker = try rig.relay.worker(link: rig.link)
        guard case .swap = try rig.plane.run(&worker) else {
            Issue.record("the worker did not leave")
            return
        }
        #expect(rig.world.steps == 1)
        #expect(rig.plane.queuedCount == 10 && rig.world.tally.transmitted == 20)
        #expect(rig.world.violations.isEmpty)
    }

    @Test func ofManySwapsTheLastCounts() throws {
        let rig = try Rig()
        for number in 0..<100 {
            rig.link.swap(to: PlaneOrder(SimulatedPlane(rig.world, rig.link, name: "plane \(number)")))
        }
        var worker = try rig.relay.worker(link: rig.link)
        guard case .swap(let next) = try rig.plane.run(&worker) else {
            Issue.record("the worker did not leave")
            return
        }
        #expect(next.first.name == "plane 99")
        #expect(!rig.link.hasMail)
    }

    @Test func aStopBeatsASwap() throws {
        let rig = try Rig()
        rig.link.stop()
        rig.link.swap(to: PlaneOrder(rig.plane))
        try rig.run()
        #expect(rig.plane.runs == 1)
        rig.expectNoProblems()
    }

    @Test func theWakeDescriptorIsReadableWhileThereIsMail() throws {
        let link = try WorkerLink()
        #expect(!isReadable(link.wakeDescriptor))
        link.stop()
        link.stop()
        #expect(link.hasMail && isReadable(link.wakeDescriptor))
        #expect(link.takeMail().count == 2)
        #expect(!link.hasMail && !isReadable(link.wakeDescriptor))
    }

    /// A signal that outlives its letter would keep the worker awake for ever.
    @Test func noSignalIsLeftBehindByAConcurrentSender() throws {
        let link = try WorkerLink()
        let rounds = 600
        let (begun, sent) = (RoundCount(), RoundCount())
        Thread.detachNewThread {
            for round in 1...rounds {
                begun.wait(for: round)
                link.stop()
                sent.value.store(round, ordering: .releasing)
            }
        }
        var stale = 0
        for round in 1...rounds {
            begun.value.store(round, ordering: .releasing)
            while link.takeMail().isEmpty {}
            sent.wait(for: round)
            if isReadable(link.wakeDescriptor) {
                stale += 1
                WakeDescriptor.drain(link.wakeDescriptor)
            }
        }
        #expect(stale == 0)
    }

    private final class RoundCount: Sendable {
        let value = Atomic(0)

        func wait(for round: Int) {
            while value.load(ordering: .acquiring) < round { sched_yield() }
        }
    }
}
