import RelayCore
import STUN
import Testing

@testable import RelayWorker

/// What the host refuses is one client's affair.
@Suite struct WorkerRefusalTests {
    @Test func aPortInUseIsTriedElsewhere() throws {
        let rig = try Rig()
        var refused = 0
        rig.world.sockets.refusal = { _ in
            refused += 1
            return refused > 1 && refused <= 16 ? .addressInUse : nil
        }
        let client = rig.client(1)
        client.demand(.allocate()) { rig.link.stop() }
        try rig.run()
        #expect(rig.world.sockets.attempts.count == 16)
        #expect(Set(rig.world.sockets.attempts).count == 16)
        #expect(client.relayed == rig.world.sockets.attempts.last)
        rig.expectNoProblems()
    }

    @Test func portsThatAreAllInUseAreInsufficientCapacity() throws {
        let rig = try Rig()
        rig.world.sockets.refusal = { $0.ip == SimulatedRelay.relayAddress ? .addressInUse : nil }
        var error: UInt16?
        rig.client(1).request(.allocate()) { answer in
            error = answer.error
            rig.link.stop()
        }
        try rig.run()
        #expect(error == 508)
        #expect(rig.world.sockets.attempts.count == 16)
        #expect(rig.relay.notes.createdCount == 0)
        rig.expectNoProblems()
    }

    /// Without descriptors another port is no better; the next client may be luckier.
    @Test func aBindThatFailsIsInsufficientCapacityForThatClientAlone() throws {
        let rig = try Rig()
        rig.world.sockets.refusal = { $0.ip == SimulatedRelay.relayAddress ? .outOfDescriptors : nil }
        let (first, second) = (rig.client(1), rig.client(2))
        var error: UInt16?
        first.request(.allocate()) { answer in
            error = answer.error
            rig.world.sockets.refusal = { _ in nil }
            second.demand(.allocate()) { rig.link.stop() }
        }
        try rig.run()
        #expect(error == 508)
        #expect(rig.world.sockets.attempts.count == 2)
        #expect(rig.relay.notes.all.contains { if case .relayRefused = $0 { true } else { false } })
        rig.expectNoProblems()
    }

    @Test func aRelaySocketThatThePlaneCannotWatchIsInsufficientCapacityForThatClientAlone() throws {
        let rig = try Rig()
        rig.world.refusesAttach = { $0.role == .relay }
        let (first, second) = (rig.client(1), rig.client(2))
        let peer = SimulatedPeer(rig.world, at: .peer(1))
        var error: UInt16?
        var openSockets = 0
        first.request(.allocate()) { answer in
            error = answer.error
            openSockets = rig.world.sockets.open.count
            rig.world.refusesAttach = { _ in false }
            second.demand(.allocate())
            second.demand(.permit(peer.address)) {
                let flow = rig.world.payloads.open(to: peer.address, seenFrom: second.relayed ?? peer.address)
                rig.world.payloads.expect(Payload(flow: flow, number: 1))
                second.indicate(Payload(flow: flow, number: 1).bytes, to: peer.address)
                rig.world.after(milliseconds: 10) { rig.link.stop() }
            }
        }
        try rig.run()
        #expect(error == 508)
        #expect(openSockets == 1, "the socket that could not be watched is closed")
        #expect(rig.world.payloads.arrivedCount == 1)
        rig.expectNoProblems()
    }

    @Test func aListenerThatThePlaneCannotWatchEndsThePlane() throws {
        let rig = try Rig()
        rig.world.refusesAttach = { _ in true }
        var worker = try rig.relay.worker(link: rig.link)
        #expect(throws: PlaneError.self) { try rig.plane.run(&worker) }
        #expect(rig.world.sockets.open.count == 1, "the worker keeps its sockets for another plane")
    }

    @Test func aListenerThatCannotBeBoundIsAnErrorAndTheOthersAreClosed() throws {
        let rig = try Rig()
        let second = TransportAddress(SimulatedRelay.listener.ip, port: 3479)
        rig.world.sockets.refusal = { $0 == second ? .permissionDenied : nil }
        #expect(throws: SocketError(kind: .permissionDenied, subject: "UDP \(second)")) {
            try rig.run(listeners: [SimulatedRelay.listener, second])
        }
        #expect(rig.world.sockets.open.isEmpty && rig.world.sockets.violations.isEmpty)
    }
}
