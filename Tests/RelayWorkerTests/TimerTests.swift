import RelayCore
import STUN
import Testing

@testable import RelayWorker

/// Time passes, and nobody sends anything.
@Suite struct TimerTests {
    private static let lifetimeMilliseconds = 600_000
    private static let tickMilliseconds = 256

    @Test func anAllocationEndsByItselfAndTheLoopSleepsMeanwhile() throws {
        let rig = try Rig()
        var (before, after) = (0, 0)
        var (asleep, awake) = (0, 0)
        var gauge: UInt64 = 99
        rig.client(1).demand(.allocate()) {
            rig.world.after(milliseconds: 1000) { asleep = rig.world.steps }
            rig.world.after(milliseconds: Self.lifetimeMilliseconds - 1) {
                before = rig.world.sockets.open.count
                awake = rig.world.steps
            }
            let late = Self.lifetimeMilliseconds + Self.tickMilliseconds
            rig.world.after(milliseconds: late + 1) { after = rig.world.sockets.open.count }
            rig.world.after(milliseconds: late + 102) {
                gauge = rig.link.snapshot.core.allocations
                rig.link.stop()
            }
        }
        try rig.run()
        #expect(before == 2 && after == 1)
        #expect(rig.relay.notes.ended.map(\.reason) == [.expired])
        #expect(gauge == 0, "what a timer changed is published within 100 ms")
        #expect(awake - asleep <= 10, "\(awake - asleep) turns in ten idle minutes")
        rig.expectNoProblems()
    }

    /// More timers at once than one call of the core handles: the loop goes on, and does not spin afterwards.
    @Test func aMassExpiryTakesAFewTurns() throws {
        var configuration = SimulatedRelay.defaults
        configuration.allocationsPerUser = 0
        configuration.unauthenticatedRate = 0
        let rig = try Rig(configuration)
        let count = 1500
        let clients = (0..<count).map { rig.client($0 / 250, port: UInt16(5000 + $0 % 250)) }
        for client in clients { client.demand(.allocate()) }
        var openSockets: [Int] = []
        var idleSteps = 0
        rig.world.after(milliseconds: Self.lifetimeMilliseconds - 1) {
            openSockets.append(rig.world.sockets.open.count)
            rig.world.after(milliseconds: 3 * Self.tickMilliseconds) {
                openSockets.append(rig.world.sockets.open.count)
                idleSteps = rig.world.steps
                rig.world.after(milliseconds: 100_000) {
                    idleSteps = rig.world.steps - idleSteps
                    rig.link.stop()
                }
            }
        }
        try rig.run()
        #expect(openSockets == [count + 1, 1])
        #expect(idleSteps <= 3)
        #expect(rig.relay.notes.ended.count == count)
        rig.expectNoProblems()
    }

    @Test func theSnapshotIsAtMostATenthOfASecondOld() throws {
        let rig = try Rig()
        let client = rig.client(1)
        let peer = SimulatedPeer(rig.world, at: .peer(1))
        var isFresh = true
        var samples: [UInt64] = []
        var (lateSteps, final) = (0, UInt64(0))
        client.demand(.allocate())
        client.demand(.bind(0x4000, peer.address)) {
            let flow = rig.world.payloads.open(to: peer.address, seenFrom: client.relayed ?? peer.address)
            for number in 0..<100 {
                rig.world.after(milliseconds: number * 10) {
                    rig.world.payloads.expect(Payload(flow: flow, number: UInt32(number)))
                    client.send(Payload(flow: flow, number: UInt32(number)).bytes, channel: 0x4000)
                    let shown = rig.link.snapshot.core.channelTraffic.packetsToPeers
                    // Ten were sent in the last 100 ms, and this one is still under way.
                    isFresh = isFresh && Int(shown) >= number - 11
                    samples.append(shown)
                }
            }
            rig.world.after(milliseconds: 1100) {
                final = rig.link.snapshot.core.channelTraffic.packetsToPeers
                lateSteps = rig.world.steps
            }
            rig.world.after(milliseconds: 60_000) {
                lateSteps = rig.world.steps - lateSteps
                rig.link.stop()
            }
        }
        try rig.run()
        #expect(isFresh && samples.count == 100)
        #expect(Set(samples).count <= 12, "published oftener than every 100 ms")
        #expect(final == 100, "the last traffic is shown too")
        #expect(lateSteps <= 2, "\(lateSteps) turns of an idle minute")
        #expect(rig.world.payloads.unaccounted.isEmpty)
        rig.expectNoProblems()
    }
}
