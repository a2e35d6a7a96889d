import RelayCore
import STUN
import TestSeed
import Testing

@testable import RelayWorker

/// EVEN-PORT's sibling, which waits between the workers.
@Suite struct ReservationTests {
    private static let secondListener = TransportAddress(SimulatedRelay.listener.ip, port: 3479)

    private static func name(of departure: Departure) -> String {
        switch departure {
        case .stopped: "stopped"
        case .swap: "swap"
        }
    }

    /// The client of one worker reserves, the client of another claims: the socket moves, and the reservation that ran
    /// out with its first worker does not take it away.
    @Test func aTokenClaimsFromAnotherWorker() throws {
        let rig = try Rig()
        let secondLink = try WorkerLink()
        let secondPlane = SimulatedPlane(rig.world, secondLink)
        var first = try rig.relay.worker(0, of: 2, link: rig.link)
        var second = try rig.relay.worker(1, of: 2, listeners: [Self.secondListener], link: secondLink)
        let reserving = rig.client(1)
        let claiming = rig.client(2, of: Self.secondListener)
        let peer = SimulatedPeer(rig.world, at: .peer(1))

        var token: UInt64?
        reserving.request(.allocate(reservingNext: true)) { answer in
            token = answer.token
            rig.link.swap(to: PlaneOrder(rig.plane))
        }
        #expect(Self.name(of: try rig.plane.run(&first)) == "swap")
        let relayed = try #require(reserving.relayed)
        #expect(relayed.port % 2 == 0 && token != nil)
        #expect(rig.world.sockets.open.count == 4)

        claiming.demand(.allocate(token: token))
        claiming.demand(.permit(peer.address)) { secondLink.swap(to: PlaneOrder(secondPlane)) }
        #expect(Self.name(of: try secondPlane.run(&second)) == "swap")
        let sibling = TransportAddress(relayed.ip, port: relayed.port + 1)
        #expect(claiming.relayed == sibling)

        // Time enough for the reservation to run out, in its own worker.
        rig.world.after(milliseconds: 40_000) { rig.link.stop() }
        #expect(Self.name(of: try rig.plane.run(&first)) == "stopped")

        let flow = rig.world.payloads.open(to: claiming.address, seenFrom: peer.address)
        rig.world.payloads.expect(Payload(flow: flow, number: 1))
        peer.send(Payload(flow: flow, number: 1).bytes, to: sibling)
        rig.world.after(milliseconds: 10) { secondLink.stop() }
        #expect(Self.name(of: try secondPlane.run(&second)) == "stopped")
        #expect(rig.world.payloads.arrivedCount == 1)
        #expect(rig.relay.notes.ended.count == 2)
        #expect(rig.world.violations.isEmpty && rig.world.sockets.violations.isEmpty)
    }

    @Test func aSiblingThatNobodyClaimsIsClosed() throws {
        let rig = try Rig()
        var openSockets: [Int] = []
        rig.client(1).demand(.allocate(reservingNext: true)) {
            openSockets.append(rig.world.sockets.open.count)
            rig.world.after(milliseconds: 31_000) {
                openSockets.append(rig.world.sockets.open.count)
                rig.link.stop()
            }
        }
        try rig.run()
        #expect(openSockets == [3, 2])
        rig.expectNoProblems()
    }

    @Test func aTokenIsGoodForItsOwnUserAndOnce() throws {
        let rig = try Rig()
        let thief = SimulatedClient(
            rig.world, at: .client(7), of: SimulatedRelay.listener, username: "bob", password: "hidden")
        let (owner, late) = (rig.client(2), rig.client(3))
        var errors: [UInt16?] = []
        rig.client(1).request(.allocate(reservingNext: true)) { answer in
            thief.request(.allocate(token: answer.token)) { refused in
                errors.append(refused.error)
                owner.request(.allocate(token: answer.token)) { granted in
                    errors.append(granted.error)
                    late.request(.allocate(token: answer.token)) { refused in
                        errors.append(refused.error)
                        rig.link.stop()
                    }
                }
            }
        }
        try rig.run()
        #expect(errors == [508, nil, 508])
        rig.expectNoProblems()
    }

    @Test func aStopWithAnUnclaimedSiblingLeavesNothingOpen() throws {
        let world = World(seed: testSeed)
        let link = try WorkerLink()
        do {
            let relay = SimulatedRelay(world)
            let client = SimulatedClient(world, at: .client(1), of: SimulatedRelay.listener)
            client.demand(.allocate(reservingNext: true)) { link.stop() }
            var worker = try relay.worker(link: link)
            #expect(worker.work(on: PlaneOrder(SimulatedPlane(world, link))) { _ in } == .stopped)
            // The world does not keep its clients, and an optimiser lets go of one that is not named again.
            withExtendedLifetime(client) {}
            #expect(world.sockets.open.count == 2, "the listener and the sibling")
        }
        #expect(world.sockets.open.isEmpty && world.sockets.violations.isEmpty)
    }

    /// Where the odd port is taken, the pair is no good, and another one is found.
    @Test func aPairWhoseSiblingIsTakenIsGivenUp() throws {
        let rig = try Rig()
        var refused: TransportAddress?
        rig.world.sockets.refusal = { address in
            guard refused == nil, address.port % 2 == 1 else { return nil }
            refused = address
            return .addressInUse
        }
        let client = rig.client(1)
        var openSockets = 0
        client.demand(.allocate(reservingNext: true)) {
            openSockets = rig.world.sockets.open.count
            rig.world.after(milliseconds: 31_000) { rig.link.stop() }
        }
        try rig.run()
        #expect(openSockets == 3)
        #expect(refused != nil && client.relayed?.port != refused.map { $0.port - 1 })
        rig.expectNoProblems()
    }
}
