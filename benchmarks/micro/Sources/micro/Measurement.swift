import CCounters

/// What one operation costs.
struct Measurement: Codable {
    let name: String
    /// CPU time of the fastest of several rounds.
    let nanoseconds: Double
    /// Heap allocations.
    let allocations: Double
    /// Retains and releases.
    let references: Double
}

/// Collects the measurements of one run.
struct Recorder {
    /// Only cases whose name contains this.
    let filter: String
    let rounds: Int
    private(set) var measurements: [Measurement] = []

    init(filter: String, rounds: Int) {
        self.filter = filter
        self.rounds = rounds
    }

    /// Whether a case is wanted.
    func wants(_ name: String) -> Bool { filter.isEmpty || name.contains(filter) }

    /// Whether a case whose name begins so may be wanted: an expensive fixture need not be built for nothing.
    func mayWant(_ prefix: String) -> Bool { wants(prefix) || filter.hasPrefix(prefix) || prefix.hasPrefix(filter) }

    /// Runs `body` once to warm up and then `rounds` times; it must do its operation as often as it is told.
    ///
    /// Counts are of all rounds together, so that what happens now and then shows; time is of the fastest round.
    mutating func measure(_ name: String, operations: Int, _ body: (Int) -> Void) {
        guard wants(name) else { return }
        body(operations)
        var fastest = UInt64.max
        let before = counters_now()
        for _ in 0..<rounds {
            let start = counters_thread_ns()
            body(operations)
            fastest = min(fastest, counters_thread_ns() - start)
        }
        let after = counters_now()
        let total = Double(operations * rounds)
        measurements.append(
            Measurement(
                name: name, nanoseconds: Double(fastest) / Double(operations),
                allocations: Double(after.allocations - before.allocations) / total,
                references: Double(after.retains + after.releases - before.retains - before.releases) / total))
    }
}

/// Keeps the optimiser from dropping a result that nobody uses.
@inline(never)
func keep<Value>(_ value: borrowing Value) {}
