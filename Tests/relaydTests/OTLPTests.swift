import Foundation
import Testing

@testable import relayd

@Suite("OTLP")
struct OTLPTests {
    @Test(
        "Endpoints",
        arguments: [
            ("http://127.0.0.1", "http://127.0.0.1:4318/v1/metrics"),
            ("http://collector.example:9/", "http://collector.example:9/v1/metrics"),
            ("http://[::1]:4318/otel", "http://[::1]:4318/otel/v1/metrics"),
            ("HTTP://c/v1/metrics", "http://c:4318/v1/metrics"),
            ("https://127.0.0.1", "https://127.0.0.1:4318/v1/metrics"),
            ("HTTPS://collector.example:443/otel", "https://collector.example:443/otel/v1/metrics"),
        ])
    func endpoint(text: String, meaning: String) { #expect(OTLPEndpoint(text)?.description == meaning) }

    @Test(
        "No endpoints",
        arguments: [
            "", "127.0.0.1:4318", "https://", "https:/a", "http://", "http://:4318", "http://a:0", "http://a:x",
            "http://a:70000", "http://[::1", "http://[::1]x", "http://[zz]", "http://a/?q", "http://a b",
            "http://a\r\nX: y",
        ])
    func noEndpoint(text: String) { #expect(OTLPEndpoint(text) == nil) }

    /// What stands in the request for the metrics that Prometheus reads.
    @Test("Every family, with its kind, unit, labels and values")
    func request() throws {
        var metrics = MetricsText()
        metrics.begin("relayd_relayed_bytes_total", .counter, "Bytes.")
        metrics.sample("relayd_relayed_bytes_total", [("plane", "xdp")], UInt64.max)
        metrics.sample("relayd_relayed_bytes_total", [("plane", "socket")], 7 as UInt64)
        metrics.begin("process_start_time_seconds", .gauge, "Start.")
        metrics.sample("process_start_time_seconds", [], 1.5)
        metrics.single("relayd_workers", .gauge, "Workers.", 2)
        let body = OTLPRequest(metrics.families, instance: "here", startNanoseconds: 5, nowNanoseconds: 9)
        let data = try JSONEncoder().encode(body)
        let root = try #require(JSONSerialization.jsonObject(with: data) as? [String: Any])
        let resource = try #require((root["resourceMetrics"] as? [[String: Any]])?.first)
        let scope = try #require((resource["scopeMetrics"] as? [[String: Any]])?.first)
        let list = try #require(scope["metrics"] as? [[String: Any]])
        #expect(list.map { $0["name"] as? String } == metrics.families.map(\.name))
        #expect(list.map { $0["unit"] as? String } == ["By", "s", "1"])
        let sum = try #require(list[0]["sum"] as? [String: Any])
        #expect(sum["isMonotonic"] as? Bool == true && sum["aggregationTemporality"] as? Int == 2)
        let points = try #require(sum["dataPoints"] as? [[String: Any]])
        #expect(points.map { $0["asInt"] as? String } == ["\(Int64.max)", "7"])
        #expect(points.allSatisfy { $0["startTimeUnixNano"] as? String == "5" && $0["timeUnixNano"] as? String == "9" })
        let label = try #require((points[0]["attributes"] as? [[String: Any]])?.first)
        #expect(label["key"] as? String == "plane")
        #expect((label["value"] as? [String: String]) == ["stringValue": "xdp"])
        let gauge = try #require((list[1]["gauge"] as? [String: Any])?["dataPoints"] as? [[String: Any]])
        #expect(gauge[0]["asDouble"] as? Double == 1.5 && gauge[0]["startTimeUnixNano"] == nil)
        #expect(list[2]["sum"] == nil)
    }
}
