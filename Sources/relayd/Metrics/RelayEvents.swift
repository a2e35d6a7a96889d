import CoreMetrics

/// The events that relayd records through swift-metrics: nothing that a packet or a client brings about.
struct RelayEvents: Sendable {
    enum Outcome: String, CaseIterable {
        case success, failure
    }

    private static let reloads = "relayd_reloads_total"
    private static let configurationRefused = "relayd_configuration_refused"
    private static let deliveries = "relayd_metrics_deliveries_total"
    private static let administrationRequests = "relayd_administration_requests_total"
    private static let administrationSeconds = "relayd_administration_answer_seconds"

    /// Help texts, which swift-metrics has no place for.
    static let help = [
        reloads: "Reloads of the configuration by outcome.",
        configurationRefused: "1 while the last reload was refused, so that an earlier configuration holds, else 0.",
        deliveries: "Deliveries of metrics to the collector by outcome.",
        administrationRequests: "HTTP requests by path, method and status.",
        administrationSeconds: "Time until an answer was made, in seconds; their sum, and how many.",
    ]

    private let factory: any MetricsFactory

    /// - Parameter factory: by default that of the process.
    init(_ factory: any MetricsFactory = MetricsSystem.factory) {
        self.factory = factory
        // There from the start, at zero: what appears with its first event hides that event from a rate.
        for name in [Self.reloads, Self.deliveries] {
            for outcome in Outcome.allCases { counter(name, outcome).increment(by: 0) }
        }
        refused.set(0)
    }

    func noteReload(_ outcome: Outcome) {
        counter(Self.reloads, outcome).increment()
        refused.set(outcome == .failure ? 1 : 0)
    }

    func noteDelivery(_ outcome: Outcome) { counter(Self.deliveries, outcome).increment() }

    private var refused: Meter { Meter(label: Self.configurationRefused, dimensions: [], factory: factory) }

    private func counter(_ name: String, _ outcome: Outcome) -> Counter {
        Counter(label: name, dimensions: [("outcome", outcome.rawValue)], factory: factory)
    }

    /// - Parameter path: as it stands in the table of paths, so that there are few.
    func noteRequest(_ method: String, path: String, status: Int, took duration: Duration) {
        let dimensions = [("path", path), ("method", method), ("status", "\(status)")]
        Counter(label: Self.administrationRequests, dimensions: dimensions, factory: factory).increment()
        CoreMetrics.Timer(label: Self.administrationSeconds, dimensions: [], factory: factory)
            .recordNanoseconds(duration.nanoseconds)
    }
}

extension Duration {
    fileprivate var nanoseconds: Int64 { components.seconds * 1_000_000_000 + components.attoseconds / 1_000_000_000 }
}
