import FoundationEssentials
import RelayCore
import RelayWorker

/// What the page is told once a second: totals, from which it makes rates.
struct DashboardEvent: Encodable {
    struct Worker: Encodable {
        let allocations: UInt64
        /// Payloads relayed, by whichever plane.
        let datagrams: UInt64
        let busyUs: UInt64
        let longestTurnUs: Double
    }

    let version = Version.number
    /// Since 1970, like the start: that tells one relay from the next.
    let timeMs: UInt64
    let startedMs: UInt64
    let residentBytes: UInt64
    let allocations: UInt64
    let permissions: UInt64
    let channels: UInt64
    let plane: RelayStatus.PlaneStatus
    let candidates: [RelayStatus.Candidate]
    let planes: [String: TrafficAnswer]
    let drops: [String: UInt64]
    let workers: [Worker]

    init(_ server: RelayServer) {
        let now = SystemClock.now()
        let process = ProcessFigures.read()
        let snapshots = server.snapshots
        let status = RelayStatus(server)
        let tallies = server.planeTallies
        startedMs = UInt64(process.startTimeSeconds * 1000)
        timeMs = UInt64(Date().timeIntervalSince1970 * 1000)
        residentBytes = process.residentBytes
        (allocations, permissions, channels) = (status.allocations, status.permissions, status.channels)
        (plane, candidates) = (status.plane, status.candidates)
        planes = tallies.mapValues { tally in
            var traffic = tally.channelTraffic
            traffic.add(tally.indicationTraffic)
            return TrafficAnswer(traffic)
        }
        drops = Self.drops(snapshots, tallies)
        workers = snapshots.map { Worker($0, at: now.monotonic) }
    }

    /// The core's drops, those of the planes, and requests that got no answer.
    private static func drops(_ snapshots: [WorkerSnapshot], _ tallies: [String: PlaneTally]) -> [String: UInt64] {
        var drops: [String: UInt64] = [:]
        for reason in DropReason.allCases {
            drops["\(reason)".snakeCased] = snapshots.reduce(0) { $0 + $1.core[reason] }
        }
        drops["rate_limited"] = CountedMethod.allCases.reduce(0) { sum, method in
            snapshots.reduce(sum) { $0 + $1.core[method, .rateLimited] }
        }
        for tally in tallies.values {
            for (name, count) in tally.counters.drops { drops[name, default: 0] += count }
        }
        return drops
    }
}

extension DashboardEvent.Worker {
    init(_ snapshot: WorkerSnapshot, at now: Instant) {
        var traffic = snapshot.core.channelTraffic
        traffic.add(snapshot.core.indicationTraffic)
        allocations = snapshot.core.allocations
        datagrams = traffic.packetsToPeers + traffic.packetsToClient
        busyUs = snapshot.turns.busyNanoseconds / 1000
        longestTurnUs = Double(snapshot.turns.longestNanoseconds(at: now)) / 1000
    }
}

extension PlaneCounters {
    /// What was lost between the program and the kernel, by name.
    fileprivate var drops: [(name: String, count: UInt64)] {
        [
            ("send_queue_full", sendQueueFull), ("send_too_big", sendTooBig), ("send_refused", sendRefused),
            ("receive_truncated", receiveTruncated), ("receive_queue_full", receiveQueueDrops),
        ]
    }
}
