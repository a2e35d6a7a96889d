import Foundation

/// The figures of a run: a table for a person, and JSON for a report if `RELAYD_MEASURE_JSON` names a file.
struct CostReport {
    private struct Row: Encodable {
        let what: String
        let value: Double
        let unit: String
        let limit: Double?
    }

    private var rows: [Row] = []

    mutating func add(_ what: String, _ value: Double, _ unit: String, limit: Double? = nil) {
        rows.append(Row(what: what, value: (value * 100).rounded() / 100, unit: unit, limit: limit))
    }

    func show() throws {
        let width = rows.map(\.what.count).max() ?? 0
        for row in rows {
            let limit = row.limit.map { " (limit \($0.formatted()))" } ?? ""
            let what = row.what.padding(toLength: width, withPad: " ", startingAt: 0)
            print("\(what)  \(row.value.formatted()) \(row.unit)\(limit)")
        }
        guard let path = ProcessInfo.processInfo.environment["RELAYD_MEASURE_JSON"] else { return }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        try encoder.encode(rows).write(to: URL(filePath: path))
    }
}
