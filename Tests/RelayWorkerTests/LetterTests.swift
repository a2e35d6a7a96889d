import RelayCore
import STUN
import Testing

@testable import RelayWorker

/// Letters that change what a worker's core does while the worker goes on.
@Suite struct LetterTests {
    @Test func aDrainLetterRefusesTheNewAndKeepsTheLiving() throws {
        let rig = try Rig()
        let (first, late) = (rig.client(1), rig.client(2))
        var errors: [UInt16?] = []
        first.demand(.allocate()) {
            rig.link.drain(.redirect(ipv4: nil, ipv6: nil))
            rig.world.after(milliseconds: 50) {
                late.request(.allocate()) { answer in
                    errors.append(answer.error)
                    first.request(.refresh(lifetimeSeconds: 600)) { answer in
                        errors.append(answer.error)
                        rig.link.stop()
                    }
                }
            }
        }
        try rig.run()
        #expect(errors == [508, nil])
        #expect(rig.relay.notes.ended.map(\.reason) == [.stopped])
        rig.expectNoProblems()
    }

    @Test func aNewConfigurationReachesTheCoreAndItsRoutesThePlane() throws {
        let rig = try Rig()
        let client = rig.client(1)
        let peer = SimulatedPeer(rig.world, at: .peer(1))
        var configuration = rig.relay.configuration
        configuration.peerPolicy = PeerPolicy(profile: .public, allow: [], deny: [CIDR(of: peer.address.ip)])
        var channels: [UInt64] = []
        client.demand(.allocate())
        client.demand(.bind(0x4000, peer.address)) {
            rig.world.after(milliseconds: 200) {
                channels.append(rig.link.snapshot.core.channels)
                rig.link.reconfigure(configuration)
                rig.world.after(milliseconds: 50) {
                    channels.append(rig.link.snapshot.core.channels)
                    client.request(.bind(0x4000, peer.address)) { answer in
                        #expect(answer.error == 403)
                        rig.link.stop()
                    }
                }
            }
        }
        try rig.run()
        #expect(channels == [1, 0])
        rig.expectNoProblems()
    }

    @Test func aPingIsReadAndChangesNothing() throws {
        let rig = try Rig()
        var isAnswered: [Bool] = []
        rig.client(1).demand(.binding) {
            rig.link.ping()
            isAnswered.append(rig.link.isAnswered)
            rig.world.after(milliseconds: 50) {
                isAnswered.append(rig.link.isAnswered)
                rig.link.stop()
            }
        }
        try rig.run()
        #expect(isAnswered == [false, true])
        rig.expectNoProblems()
    }
}
