import Foundation
import RelayCore
import RelayWorker
import Testing

@testable import DataPlaneXDP
@testable import relayd

@Suite("Alerts and dashboard, beside what the program exports")
struct MonitoringTests {
    /// Everything that a relay with the XDP plane exports.
    private let page: String = {
        let frames = [
            FrameCount(verdict: "pass", reason: "not_relayed", packets: 1, bytes: 2),
            FrameCount(verdict: "drop", reason: "rate", packets: 1, bytes: 2),
        ]
        let xdp = XDPStatistics(
            routes: 1, waitingRoutes: 0, refusedRoutes: 0, attachments: ["eth0 native"], refusals: [], frames: frames)
        let snapshot = WorkerSnapshot(core: Counters(), plane: PlaneCounters(), offloaded: AllocationTraffic())
        let events = MetricsRegistry()
        RelayEvents(events).noteRequest("GET", path: "/status", status: 200, took: .zero)
        return MetricsPage(
            snapshots: [snapshot], tallies: ["xdp": PlaneTally()], planes: PlaneFigures(),
            xdp: (xdp, lapsedRoutes: 0), events: events, process: ProcessFigures()
        ).text
    }()

    private func names(in text: String) -> Set<String> {
        Set(text.matches(of: /\b(relayd|process)_[a-z0-9_]+\b/).map { String($0.0) })
    }

    private var exported: Set<String> {
        Set(page.matches(of: #/\# TYPE ([a-z0-9_]+) /#).map { String($0.1) })
    }

    @Test(
        "Every metric that they name is exported",
        arguments: [
            ("deploy/prometheus/alerts.yml", 9), ("deploy/grafana/relayd.json", 20),
        ])
    func metrics(path: String, atLeast count: Int) throws {
        let named = names(in: try Repository.text(path))
        #expect(named.count >= count)
        #expect(named.subtracting(exported).isEmpty, "\(named.subtracting(exported).sorted()) is not exported")
    }

    @Test("So is every label by which they choose, with that value")
    func labels() throws {
        var values: [String: Set<String>] = [
            "method": Set(CountedMethod.allCases.map { "\($0)" }), "outcome": Set(Outcome.allCases.map(\.label)),
            // Given by Prometheus, not by the program.
            "job": ["relayd"],
        ]
        for match in page.matches(of: /([a-z_]+)="([^"]*)"/) {
            values[String(match.1), default: []].insert(String(match.2))
        }
        for path in ["deploy/prometheus/alerts.yml", "deploy/grafana/relayd.json"] {
            let text = try Repository.text(path).replacing("\\\"", with: "\"")
            let chosen = text.matches(of: /[{,]([a-z_]+)="([^"]*)"/)
            #expect(!chosen.isEmpty)
            for match in chosen {
                #expect(values[String(match.1)]?.contains(String(match.2)) == true, "\(path): \(match.0)")
            }
        }
    }

    @Test(
        "Every metric of ours in the documentation is exported",
        arguments: [
            "docs/troubleshooting.md", "docs/sizing.md", "docs/operation.md",
        ])
    func documentation(path: String) throws {
        let text = try Repository.text(path)
        let named = Set(text.matches(of: /`(relayd_[a-z0-9_]+)/).map { String($0.1) })
        #expect(named.subtracting(exported).isEmpty, "\(named.subtracting(exported).sorted()) is not exported")
    }

    @Test("Every help text that counts in a unit names it")
    func units() {
        for match in page.matches(of: #/\# HELP ([a-z0-9_]+_(bytes|seconds)(_total)?) (.*)\n/#) {
            #expect(match.4.lowercased().contains(match.2), "\(match.1): \(match.4)")
        }
    }
}
