import RelayCore
import STUN
import TestSeed
import Testing

@testable import RelayWorker

/// Whole workers under the simulated network, by seed.
@Suite struct ConversationTests {
    /// Each run takes the seeds from this run's on, so that a seed that failed is the first one when it is given.
    static let seedCount: UInt64 = 100

    @Test func everyPayloadThatTheNetworkLetsThroughArrivesOnceAndWhole() throws {
        var total = World.Tally()
        var (sent, channelPackets, indicationPackets) = (0, UInt64(0), UInt64(0))
        for offset in 0..<Self.seedCount {
            let seed = testSeed &+ offset
            let rig = try Rig(seed: seed, conditions: Self.conditions(of: seed))
            let conversations = Conversations(rig)
            try rig.run()
            let problems = rig.problems + Self.problems(of: rig, conversations)
            #expect(problems.isEmpty, "RELAYD_TEST_SEED=\(seed)")
            guard problems.isEmpty else { return }
            total.lost += rig.world.tally.lost
            total.duplicated += rig.world.tally.duplicated
            total.sendQueueDrops += rig.world.tally.sendQueueDrops
            total.receiveQueueDrops += rig.world.tally.receiveQueueDrops
            sent += rig.world.payloads.sentCount
            channelPackets += rig.link.snapshot.core.channelTraffic.packetCount
            indicationPackets += rig.link.snapshot.core.indicationTraffic.packetCount
        }
        // Had nothing of this happened, nothing would have been shown.
        #expect(total.lost > 0 && total.duplicated > 0, "RELAYD_TEST_SEED=\(testSeed)")
        #expect(total.sendQueueDrops > 0 && total.receiveQueueDrops > 0, "RELAYD_TEST_SEED=\(testSeed)")
        #expect(sent > 10_000 && channelPackets > 0 && indicationPackets > 0, "RELAYD_TEST_SEED=\(testSeed)")
    }

    @Test func theSameSeedTellsTheSameStory() throws {
        let stories = try (0..<2).map { _ in
            let rig = try Rig(conditions: Self.conditions(of: testSeed))
            let conversations = Conversations(rig)
            try rig.run()
            withExtendedLifetime(conversations) {}
            return (rig.world.tally, rig.world.now, rig.relay.notes.all)
        }
        #expect(stories[0].0 == stories[1].0, "RELAYD_TEST_SEED=\(testSeed)")
        #expect(stories[0].1 == stories[1].1, "RELAYD_TEST_SEED=\(testSeed)")
        #expect(stories[0].2 == stories[1].2, "RELAYD_TEST_SEED=\(testSeed)")
    }

    /// A quarter of the networks is perfect.
    private static func conditions(of seed: UInt64) -> Conditions {
        var generator = SeededGenerator(seed: ~seed)
        var conditions = Conditions()
        conditions.batchLimit = generator.pick(1...64)
        conditions.batchingMicroseconds = 0...generator.pick(0...3000)
        guard !generator.chance(25) else { return conditions }
        conditions.lossPercent = generator.pick(0...15)
        conditions.duplicatePercent = generator.pick(0...10)
        conditions.latencyMicroseconds = 100...generator.pick(100...60_000)
        if generator.chance(50) { conditions.sendQueueLimit = generator.pick(1...8) }
        if generator.chance(50) { conditions.receiveQueueLimit = generator.pick(2...8) }
        return conditions
    }

    private static func problems(of rig: Rig, _ conversations: Conversations) -> [String] {
        var problems = rig.world.payloads.unaccounted
        let (tally, counters) = (rig.world.tally, rig.link.snapshot.core)
        let isAccounted =
            tally.transmitted + tally.duplicated
            == tally.lost + tally.toEndpoints + tally.toRelay + tally.toNobody + tally.receiveQueueDrops
        if !isAccounted { problems.append("the network lost track: \(tally)") }

        let relayed = counters.channelTraffic.packetCount + counters.indicationTraffic.packetCount
        if relayed != tally.payloadsToRelay {
            problems.append("\(tally.payloadsToRelay) payloads reached the relay, it relayed \(relayed)")
        }
        let dropped = DropReason.allCases.map { counters[$0] }.reduce(0, +)
        if dropped != tally.strangersToRelay {
            problems.append("\(tally.strangersToRelay) datagrams of strangers, \(dropped) drops")
        }
        let ended = rig.relay.notes.ended
        if ended.count != conversations.allocationCount {
            problems.append("\(conversations.allocationCount) allocations, \(ended.count) ended")
        }
        let noted = ended.map(\.traffic.packetCount).reduce(0, +)
        if noted != relayed { problems.append("\(relayed) packets relayed, the notes tell of \(noted)") }
        return problems
    }
}

extension AllocationTraffic {
    var packetCount: UInt64 { packetsToPeers + packetsToClient }
}
