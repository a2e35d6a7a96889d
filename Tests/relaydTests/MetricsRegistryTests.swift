import CoreMetrics
import Testing

@testable import relayd

@Suite("What is recorded through swift-metrics")
struct MetricsRegistryTests {
    private func lines(_ registry: MetricsRegistry) -> [String] {
        var page = MetricsText()
        registry.write(to: &page)
        return page.text.split(separator: "\n").filter { !$0.hasPrefix("# HELP") }.map(String.init)
    }

    @Test("relayd's own events, with their help texts")
    func ownEvents() {
        let registry = MetricsRegistry()
        let events = RelayEvents(registry)
        events.noteReload(.success)
        events.noteReload(.failure)
        events.noteReload(.failure)
        events.noteRequest("GET", path: "/status", status: 200, took: .milliseconds(250))
        events.noteRequest("GET", path: "/status", status: 200, took: .milliseconds(500))
        events.noteRequest("POST", path: "/kick", status: 401, took: .seconds(1))
        #expect(
            lines(registry) == [
                "# TYPE relayd_administration_answer_seconds_sum counter",
                "relayd_administration_answer_seconds_sum 1.75",
                "# TYPE relayd_administration_answer_seconds_count counter",
                "relayd_administration_answer_seconds_count 3",
                "# TYPE relayd_administration_requests_total counter",
                #"relayd_administration_requests_total{method="GET",path="/status",status="200"} 2"#,
                #"relayd_administration_requests_total{method="POST",path="/kick",status="401"} 1"#,
                "# TYPE relayd_configuration_refused gauge",
                "relayd_configuration_refused 1.0",
                "# TYPE relayd_metrics_deliveries_total counter",
                #"relayd_metrics_deliveries_total{outcome="failure"} 0"#,
                #"relayd_metrics_deliveries_total{outcome="success"} 0"#,
                "# TYPE relayd_reloads_total counter",
                #"relayd_reloads_total{outcome="failure"} 2"#,
                #"relayd_reloads_total{outcome="success"} 1"#,
            ])
        var page = MetricsText()
        registry.write(to: &page)
        #expect(page.families.allSatisfy { !$0.help.contains("package") })
        events.noteReload(.success)
        #expect(lines(registry).contains("relayd_configuration_refused 0.0"))
    }

    @Test("What packages record: names are made fit, totals only grow, kinds do not mix")
    func foreignMetrics() {
        let registry = MetricsRegistry()
        Counter(label: "pool.opened", dimensions: [("to-host", "a\"b")], factory: registry).increment(by: 3)
        Counter(label: "pool.opened", dimensions: [("to-host", "a\"b")], factory: registry).increment(by: -2)
        FloatingPointCounter(label: "spent", dimensions: [], factory: registry).increment(by: 0.5)
        let meter = Meter(label: "level", dimensions: [], factory: registry)
        meter.set(7)
        meter.increment(by: 2)
        meter.decrement(by: 4)
        Recorder(label: "level", dimensions: [], aggregate: true, factory: registry).record(100)
        let counter = Counter(label: "gone", dimensions: [], factory: registry)
        counter.increment()
        counter.destroy()
        #expect(
            lines(registry) == [
                "# TYPE gone counter", "gone 1", "# TYPE level gauge", "level 5.0", "# TYPE pool_opened counter",
                #"pool_opened{to_host="a\"b"} 3"#, "# TYPE spent counter", "spent 0.5",
            ])
    }

    @Test("Many at once lose nothing")
    func concurrency() async {
        let registry = MetricsRegistry()
        let events = RelayEvents(registry)
        await withTaskGroup(of: Void.self) { group in
            for task in 0..<8 {
                group.addTask {
                    for _ in 0..<1000 {
                        events.noteRequest("GET", path: "/\(task % 2)", status: 200, took: .zero)
                    }
                }
            }
        }
        let lines = lines(registry)
        let counter = "relayd_administration_requests_total"
        #expect(lines.contains(counter + #"{method="GET",path="/1",status="200"} 4000"#))
        #expect(lines.contains("relayd_administration_answer_seconds_count 8000"))
    }
}
