import CoreMetrics
import Synchronization

/// What is recorded through swift-metrics, by relayd and by the packages that it uses: kept until `/metrics` or a
/// collector reads it.
///
/// For what happens now and then, such as a reload. What workers count, they count in memory of their own, and
/// ``MetricsPage`` reads that: a packet is no event.
final class MetricsRegistry: Sendable {
    /// That of the process: swift-metrics has one.
    static let program = MetricsRegistry()

    /// The names and values of labels, in the order of the names.
    struct Labels: Hashable, Comparable, Sendable {
        let pairs: [[String]]

        init(_ dimensions: [(String, String)]) {
            pairs = dimensions.map { [MetricsRegistry.name(of: $0.0), $0.1] }.sorted { $0[0] < $1[0] }
        }

        var forText: [(name: String, value: String)] { pairs.map { ($0[0], $0[1]) } }

        static func < (one: Self, other: Self) -> Bool {
            one.pairs.lexicographicallyPrecedes(other.pairs) { $0.lexicographicallyPrecedes($1) }
        }
    }

    private struct Key: Hashable {
        let label: String
        let labels: Labels
    }

    /// The handlers of one label are of one kind; the first one decides.
    private let handlers = Mutex<[Key: any RegisteredHandler]>([:])

    /// The handler of this label and these dimensions, made when it is asked for first.
    fileprivate func handler<Handler: RegisteredHandler>(
        _ label: String, _ dimensions: [(String, String)], _ make: () -> Handler
    ) -> Handler {
        let key = Key(label: Self.name(of: label), labels: Labels(dimensions))
        let made = make()
        let kept: any RegisteredHandler = handlers.withLock { handlers in
            if let known = handlers[key] { return known }
            handlers[key] = made
            return made
        }
        // Under the same name another kind was made first: counted, but shown by nobody.
        return kept as? Handler ?? made
    }

    /// Letters, digits and underscores, as Prometheus has names.
    private static func name(of label: String) -> String {
        String(label.map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "_" })
    }

    /// Adds all of them to a page, by name.
    func write(to page: inout MetricsText) {
        let known = handlers.withLock { $0 }
        let byLabel = Dictionary(grouping: known.keys, by: \.label)
        for (label, keys) in byLabel.sorted(by: { $0.key < $1.key }) {
            let series = keys.sorted { $0.labels < $1.labels }.compactMap { key in
                known[key].map { (labels: key.labels.forText, readings: $0.readings) }
            }
            for (position, reading) in (series.first?.readings ?? []).enumerated() {
                let name = label + reading.suffix
                page.begin(name, reading.kind, RelayEvents.help[label] ?? "Recorded by a package of relayd's.")
                for each in series where position < each.readings.count {
                    page.sample(name, each.labels, each.readings[position].value)
                }
            }
        }
    }
}

extension MetricsRegistry: MetricsFactory {
    func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        handler(label, dimensions, EventCount.init)
    }

    func makeFloatingPointCounter(
        label: String, dimensions: [(String, String)]
    ) -> any FloatingPointCounterHandler {
        handler(label, dimensions, Amount.init)
    }

    func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        handler(label, dimensions, Level.init)
    }

    func makeRecorder(label: String, dimensions: [(String, String)], aggregate: Bool) -> any RecorderHandler {
        aggregate ? handler(label, dimensions, Distribution.init) : handler(label, dimensions, Level.init)
    }

    func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        handler(label, dimensions, Distribution.init)
    }

    // What was counted is not forgotten with who counted it: totals only grow.
    func destroyCounter(_: any CounterHandler) {}
    func destroyFloatingPointCounter(_: any FloatingPointCounterHandler) {}
    func destroyMeter(_: any MeterHandler) {}
    func destroyRecorder(_: any RecorderHandler) {}
    func destroyTimer(_: any TimerHandler) {}
}

/// One value of a handler, as it is shown.
private struct Reading {
    let suffix: String
    let kind: MetricsText.Kind
    let value: MetricsText.Sample.Value
}

private protocol RegisteredHandler: AnyObject, Sendable {
    var readings: [Reading] { get }
}

private final class EventCount: CounterHandler, RegisteredHandler {
    private let count = Atomic<UInt64>(0)

    func increment(by amount: Int64) { count.add(UInt64(max(0, amount)), ordering: .relaxed) }
    func reset() { count.store(0, ordering: .relaxed) }

    var readings: [Reading] { [Reading(suffix: "", kind: .counter, value: .whole(count.load(ordering: .relaxed)))] }
}

private final class Amount: FloatingPointCounterHandler, RegisteredHandler {
    private let sum = Mutex(0.0)

    func increment(by amount: Double) { sum.withLock { $0 += max(0, amount) } }
    func reset() { sum.withLock { $0 = 0 } }

    var readings: [Reading] { [Reading(suffix: "", kind: .counter, value: .real(sum.withLock { $0 }))] }
}

private final class Level: MeterHandler, RecorderHandler, RegisteredHandler {
    private let level = Mutex(0.0)

    func set(_ value: Int64) { set(Double(value)) }
    func set(_ value: Double) { level.withLock { $0 = value } }
    func increment(by amount: Double) { level.withLock { $0 += amount } }
    func decrement(by amount: Double) { level.withLock { $0 -= amount } }
    func record(_ value: Int64) { set(Double(value)) }
    func record(_ value: Double) { set(value) }

    var readings: [Reading] { [Reading(suffix: "", kind: .gauge, value: .real(level.withLock { $0 }))] }
}

/// Sum and count: a mean over any time, by the differences of two readings. Times are in seconds.
private final class Distribution: RecorderHandler, TimerHandler, RegisteredHandler {
    private let totals = Mutex((sum: 0.0, count: UInt64(0)))

    func record(_ value: Int64) { record(Double(value)) }
    func record(_ value: Double) {
        totals.withLock { totals in
            totals.sum += value
            totals.count += 1
        }
    }
    func recordNanoseconds(_ duration: Int64) { record(Double(duration) / 1e9) }

    var readings: [Reading] {
        let totals = totals.withLock { $0 }
        return [
            Reading(suffix: "_sum", kind: .counter, value: .real(totals.sum)),
            Reading(suffix: "_count", kind: .counter, value: .whole(totals.count)),
        ]
    }
}
