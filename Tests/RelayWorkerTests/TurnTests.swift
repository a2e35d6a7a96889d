import RelayCore
import STUN
import TestSeed
import Testing

@testable import RelayWorker

/// What a turn of the loop does, and in which order.
@Suite struct TurnTests {
    @Test func aRequestIsAnsweredInTheTurnThatBringsIt() throws {
        let rig = try Rig()
        let client = rig.client(1)
        let sent = rig.world.now
        client.demand(.binding) { rig.link.stop() }
        try rig.run()
        // 100 microseconds there, 100 back, and no time in between.
        #expect(client.answers.map(\.at.nanoseconds) == [sent.nanoseconds + 200_000])
        rig.expectNoProblems()
    }

    /// Allocate and CreatePermission of one batch: the second finds what the first one made.
    @Test func theEffectsOfOneMessageAreCompleteBeforeTheNext() throws {
        let rig = try Rig(conditions: Self.oneBatch)
        let client = rig.client(1)
        let ids = [client.newTransactionID(), client.newTransactionID()]
        Self.learnChallenge(client) {
            client.transmit(client.encode(.allocate(), ids[0]))
            client.transmit(client.encode(.permit(.peer(1)), ids[1]))
            rig.world.after(milliseconds: 50) { rig.link.stop() }
        }
        try rig.run()
        let answers = client.answers.suffix(2)
        #expect(answers.map(\.id) == ids)
        #expect(answers.allSatisfy { $0.error == nil })
        rig.expectNoProblems()
    }

    /// In one batch: a release, another client's Allocate and CreatePermission, and a peer's datagram for the socket
    /// that was released. That datagram is nobody's, whatever slot the new allocation was given.
    @Test func aDatagramOfAClosedSocketIsNotTheNextAllocations() throws {
        var early = 0
        for offset in 0..<20 {
            let rig = try Rig(seed: testSeed &+ UInt64(offset), conditions: Self.oneBatch)
            let (first, second) = (rig.client(1), rig.client(2))
            let peer = SimulatedPeer(rig.world, at: .peer(1))
            let bystander = SimulatedPeer(rig.world, at: .peer(2))
            first.demand(.allocate())
            first.demand(.permit(peer.address)) {
                Self.learnChallenge(second) {
                    guard let relayed = first.relayed else { return rig.world.violate("no allocation") }
                    let flow = rig.world.payloads.open(to: first.address, seenFrom: peer.address)
                    first.transmit(first.encode(.refresh(lifetimeSeconds: 0), first.newTransactionID()))
                    second.transmit(second.encode(.allocate(), second.newTransactionID()))
                    second.transmit(second.encode(.permit(peer.address), second.newTransactionID()))
                    peer.send(Payload(flow: flow, number: 1).bytes, to: relayed)
                    bystander.send(Payload(flow: flow, number: 2).bytes, to: relayed)
                    rig.world.after(milliseconds: 50) { rig.link.stop() }
                }
            }
            try rig.run()
            #expect(rig.relay.notes.createdCount == 2)
            #expect(rig.world.payloads.arrivedCount <= 1)
            early += rig.world.payloads.arrivedCount
            rig.expectNoProblems()
        }
        #expect(early < 20, "the datagram never came after the release, so nothing was shown")
    }

    @Test func slotsAreUsedAgain() throws {
        let rig = try Rig()
        let client = rig.client(1)
        for _ in 0..<50 {
            client.demand(.allocate())
            client.demand(.refresh(lifetimeSeconds: 0))
        }
        client.demand(.binding) { rig.link.stop() }
        var worker = try rig.relay.worker(link: rig.link)
        #expect(worker.work(on: PlaneOrder(rig.plane)) { _ in } == .stopped)
        #expect(rig.relay.notes.ended.map(\.reason) == Array(repeating: .released, count: 50))
        #expect(worker.sockets.capacity == 2, "a listener and one relay socket after the other")
        #expect(rig.world.violations.isEmpty && rig.world.sockets.violations.isEmpty)
    }

    @Test func anICMPErrorReachesTheClientThatCausedIt() throws {
        let rig = try Rig()
        let (client, other) = (rig.client(1), rig.client(2))
        let gone = TransportAddress.peer(1)
        rig.world.unreachable = [gone]
        other.demand(.allocate())
        other.demand(.permit(gone))
        client.demand(.allocate())
        client.demand(.permit(gone)) {
            // More than one turn handles.
            for number in 0..<200 { client.indicate([UInt8(number)], to: gone) }
            rig.world.after(milliseconds: 50) { rig.link.stop() }
        }
        try rig.run()
        #expect(client.icmpPeers == Array(repeating: gone, count: 200))
        #expect(other.icmpPeers.isEmpty)
        #expect(rig.link.snapshot.core.icmpIndications == 200)
        rig.expectNoProblems()
    }

    /// What arrives within 10 ms is one batch.
    private static var oneBatch: Conditions {
        var conditions = Conditions()
        conditions.batchingMicroseconds = 10_000...10_000
        return conditions
    }

    /// Has the client ask for something that it will not get, to be told realm and nonce.
    private static func learnChallenge(_ client: SimulatedClient, then: @escaping () -> Void) {
        client.request(.refresh(lifetimeSeconds: 0)) { _ in then() }
    }
}
