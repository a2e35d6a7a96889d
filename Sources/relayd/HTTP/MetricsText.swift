/// Metrics, gathered once and written in the text format of Prometheus (version 0.0.4) or as OTLP
/// (``OTLPRequest``).
struct MetricsText {
    enum Kind: String {
        case counter, gauge
    }

    struct Sample {
        enum Value {
            case whole(UInt64)
            case real(Double)
        }

        let labels: [(name: String, value: String)]
        let value: Value
    }

    /// One metric with its samples.
    struct Family {
        let name: String
        let kind: Kind
        let help: String
        var samples: [Sample] = []
    }

    private(set) var families: [Family] = []

    /// Begins a metric; its samples follow.
    mutating func begin(_ name: String, _ kind: Kind, _ help: String) {
        families.append(Family(name: name, kind: kind, help: help))
    }

    /// A sample of the metric that was begun last.
    mutating func sample(_ name: String, _ labels: [(name: String, value: String)] = [], _ value: UInt64) {
        sample(name, labels, .whole(value))
    }

    mutating func sample(_ name: String, _ labels: [(name: String, value: String)] = [], _ value: Double) {
        sample(name, labels, .real(value))
    }

    mutating func sample(_ name: String, _ labels: [(name: String, value: String)], _ value: Sample.Value) {
        precondition(families.last?.name == name, "a sample of \(name) without its metric")
        families[families.count - 1].samples.append(Sample(labels: labels, value: value))
    }

    /// A metric of one sample without labels.
    mutating func single(_ name: String, _ kind: Kind, _ help: String, _ value: UInt64) {
        begin(name, kind, help)
        sample(name, [], value)
    }

    // MARK: Prometheus

    var text: String {
        var text = ""
        for family in families {
            text += "# HELP \(family.name) \(Self.escaped(family.help, quotes: false))\n"
            text += "# TYPE \(family.name) \(family.kind.rawValue)\n"
            for sample in family.samples { text += Self.line(family.name, sample) }
        }
        return text
    }

    private static func line(_ name: String, _ sample: Sample) -> String {
        let pairs = sample.labels.map { "\($0.name)=\"\(escaped($0.value, quotes: true))\"" }.joined(separator: ",")
        let value =
            switch sample.value {
            case .whole(let value): "\(value)"
            case .real(let value): "\(value)"
            }
        return pairs.isEmpty ? "\(name) \(value)\n" : "\(name){\(pairs)} \(value)\n"
    }

    private static func escaped(_ text: String, quotes: Bool) -> String {
        let escaped = text.replacing("\\", with: "\\\\").replacing("\n", with: "\\n")
        return quotes ? escaped.replacing("\"", with: "\\\"") : escaped
    }
}
