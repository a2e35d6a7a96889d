/// The body of an OTLP export over HTTP in its JSON encoding (OTLP 1.x, `ExportMetricsServiceRequest`): the metrics
/// that Prometheus reads, under the same names. Counters are cumulative monotonic sums since the start of the process.
struct OTLPRequest: Encodable {
    let resourceMetrics: [ResourceMetrics]

    struct ResourceMetrics: Encodable {
        let resource: Resource
        let scopeMetrics: [ScopeMetrics]
    }

    struct Resource: Encodable { let attributes: [Attribute] }

    struct ScopeMetrics: Encodable {
        let scope: Scope
        let metrics: [Metric]
    }

    struct Scope: Encodable { let name, version: String }

    struct Attribute: Encodable {
        struct Value: Encodable { let stringValue: String }
        let key: String
        let value: Value

        init(_ key: String, _ value: String) {
            self.key = key
            self.value = Value(stringValue: value)
        }
    }

    struct Metric: Encodable {
        let name, description: String
        let unit: String
        let gauge: Gauge?
        let sum: Sum?
    }

    struct Gauge: Encodable { let dataPoints: [Point] }

    struct Sum: Encodable {
        let dataPoints: [Point]
        /// AGGREGATION_TEMPORALITY_CUMULATIVE.
        let aggregationTemporality = 2
        let isMonotonic = true
    }

    /// 64-bit integers are strings in this encoding.
    struct Point: Encodable {
        let attributes: [Attribute]
        let startTimeUnixNano: String?
        let timeUnixNano: String
        let asInt: String?
        let asDouble: Double?
    }

    /// - Parameters:
    ///   - instance: names this relay among others, such as its host.
    ///   - startNanoseconds: since 1970, when counting began.
    ///   - nowNanoseconds: since 1970.
    init(
        _ families: [MetricsText.Family], instance: String, startNanoseconds: UInt64, nowNanoseconds: UInt64
    ) {
        let metrics = families.map { Metric($0, since: startNanoseconds, at: nowNanoseconds) }
        resourceMetrics = [
            ResourceMetrics(
                resource: Resource(attributes: [
                    Attribute("service.name", "relayd"), Attribute("service.version", Version.number),
                    Attribute("service.instance.id", instance),
                ]),
                scopeMetrics: [ScopeMetrics(scope: Scope(name: "relayd", version: Version.number), metrics: metrics)])
        ]
    }
}

extension OTLPRequest.Metric {
    fileprivate init(_ family: MetricsText.Family, since start: UInt64, at now: UInt64) {
        name = family.name
        description = family.help
        unit = Self.unit(of: family.name)
        let points = family.samples.map { sample in
            OTLPRequest.Point(
                sample, since: family.kind == .counter ? start : nil, at: now)
        }
        gauge = family.kind == .gauge ? OTLPRequest.Gauge(dataPoints: points) : nil
        sum = family.kind == .counter ? OTLPRequest.Sum(dataPoints: points) : nil
    }

    /// As UCUM writes the unit that a Prometheus name ends with.
    private static func unit(of name: String) -> String {
        let words = name.split(separator: "_")
        if words.contains("bytes") { return "By" }
        return words.contains("seconds") ? "s" : "1"
    }
}

extension OTLPRequest.Point {
    fileprivate init(_ sample: MetricsText.Sample, since start: UInt64?, at now: UInt64) {
        attributes = sample.labels.map { OTLPRequest.Attribute($0.name, $0.value) }
        startTimeUnixNano = start.map { "\($0)" }
        timeUnixNano = "\(now)"
        switch sample.value {
        case .whole(let value): (asInt, asDouble) = ("\(Int64(clamping: value))", nil)
        case .real(let value): (asInt, asDouble) = (nil, value)
        }
    }
}
