import RelayCore
import RelayWorker
import Testing

@testable import relayd

@Suite("The Prometheus page")
struct MetricsTests {
    private func page() -> String {
        var core = Counters()
        core.allocations = 2
        core.channels = 3
        core.isShedding = 1
        core.channelTraffic.packetsToPeers = 10
        core.channelTraffic.bytesToClient = 4321
        var plane = PlaneCounters()
        plane.receiveQueueDrops = 7
        let snapshot = WorkerSnapshot(core: core, plane: plane, offloaded: AllocationTraffic())
        var tally = PlaneTally()
        tally.add(PlaneTally(counters: plane, channelTraffic: core.channelTraffic))
        tally.add(tally)
        var planes = PlaneFigures()
        planes.workersByPlane = ["socket": 2]
        planes.refusals = [.init(name: "xdp", reason: PlaneError(what: "a", why: "b \"c\"", mend: "d"))]
        planes.changes = [.init(plane: "socket", cause: .start): 1]
        var process = ProcessFigures()
        process.cpuSeconds = 1.25
        process.residentBytes = 4096
        return MetricsPage(
            snapshots: [snapshot, snapshot], tallies: ["socket": tally], planes: planes, process: process
        ).text
    }

    @Test("Workers are added up")
    func totals() {
        let lines = Set(page().split(separator: "\n").map(String.init))
        #expect(lines.contains("relayd_allocations 4"))
        #expect(lines.contains("relayd_channels 6"))
        #expect(lines.contains("relayd_workers 2"))
        #expect(
            lines.contains(#"relayd_relayed_packets_total{plane="socket",path="channel",direction="to_peer"} 20"#))
        #expect(
            lines.contains(#"relayd_relayed_bytes_total{plane="socket",path="channel",direction="to_client"} 8642"#))
        #expect(lines.contains(#"relayd_receive_queue_drops_total{plane="socket"} 14"#))
        #expect(lines.contains(#"relayd_data_plane_workers{plane="socket"} 2"#))
        #expect(lines.contains(#"relayd_data_plane_changes_total{plane="socket",cause="start"} 1"#))
        #expect(lines.contains(#"relayd_data_plane_changes_total{plane="socket",cause="fallback"} 0"#))
        #expect(lines.contains("process_cpu_seconds_total 1.25"))
        #expect(lines.contains("process_resident_memory_bytes 4096"))
    }

    @Test("Every sample follows the HELP and TYPE of its own metric, each metric stands once")
    func shape() throws {
        let text = page()
        #expect(text.hasSuffix("\n"))
        let sample =
            /([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[a-z_]+="([^"\\\n]|\\.)*"(,[a-z_]+="([^"\\\n]|\\.)*")*\})? -?[0-9.e+-]+/
        var seen: Set<String> = []
        var current = (name: "", kind: "")
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ", maxSplits: 3).map(String.init)
            if line.hasPrefix("# HELP ") {
                #expect(seen.insert(words[2]).inserted, "\(words[2]) stands twice")
                #expect(words.count == 4, "\(words[2]) has no help")
                current = (words[2], "")
            } else if line.hasPrefix("# TYPE ") {
                #expect(words[2] == current.name)
                current.kind = words[3]
            } else {
                let match = try #require(line.wholeMatch(of: sample), "no sample: \(line)")
                #expect(String(match.1) == current.name)
                #expect((current.kind == "counter") == current.name.hasSuffix("_total"), "\(current)")
            }
        }
        #expect(seen.count > 20)
    }

    @Test("Every reason for a drop has a row from the start")
    func reasons() {
        let rows = page().matches(of: /\nrelayd_dropped_datagrams_total\{reason="([a-z_]+)"\} 0/).map { String($0.1) }
        #expect(Set(rows).count == DropReason.allCases.count)
        #expect(rows.contains("no_permission"))
    }

    @Test("Every quota has a row from the start, and every worker says whether it sheds")
    func quotas() {
        let rows = page().matches(of: /\nrelayd_quota_refusals_total\{quota="([a-z_]+)"\} 0/).map { String($0.1) }
        #expect(
            Set(rows) == [
                "allocations_per_user", "allocations_total", "permissions_per_allocation", "channels_per_allocation",
                "new_peer_rate",
            ])
        #expect(page().contains("\nrelayd_worker_shedding{worker=\"1\"} 1\n"))
        #expect(page().contains("\nrelayd_dropped_datagrams_total{reason=\"over_limit\"} 0\n"))
    }

    @Test("No label names a user or an address")
    func noUserLabel() {
        #expect(page().firstMatch(of: /(user|client|peer|address|realm)[a-z_]*="/) == nil)
    }

    @Test("Label values and help texts are escaped")
    func escaping() {
        var text = MetricsText()
        text.begin("m", .gauge, "one \\ two\nthree \"quoted\"")
        text.sample("m", [("plane", "a\"b\\c\nd")], 1 as UInt64)
        #expect(
            text.text == "# HELP m one \\\\ two\\nthree \"quoted\"\n# TYPE m gauge\n"
                + "m{plane=\"a\\\"b\\\\c\\nd\"} 1\n")
    }

    @Test("The figures of this process are those of a living one")
    func process() {
        let figures = ProcessFigures.read()
        #expect(figures.residentBytes > 1 << 20)
        #expect(figures.virtualBytes >= figures.residentBytes)
        #expect(figures.openDescriptors >= 3)
        #expect(figures.maximumDescriptors >= figures.openDescriptors)
        #expect(figures.threads >= 1)
        #expect(figures.startTimeSeconds > 1_700_000_000)
    }
}
