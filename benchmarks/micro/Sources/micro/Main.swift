import FoundationEssentials
import Glibc

/// usage: micro [--filter TEXT] [--rounds N] [--json FILE] [--check THRESHOLDS]
@main
enum Micro {
    static func main() throws {
        var filter = ""
        var rounds = 10
        var jsonPath: String?
        var thresholdsPath: String?
        var arguments = CommandLine.arguments.dropFirst()
        while let name = arguments.popFirst() {
            guard let value = arguments.popFirst() else { fail("\(name) wants a value") }
            switch name {
            case "--filter": filter = value
            case "--rounds": rounds = Int(value) ?? rounds
            case "--json": jsonPath = value
            case "--check": thresholdsPath = value
            default: fail("unknown option \(name)")
            }
        }
        var recorder = Recorder(filter: filter, rounds: rounds)
        measureSTUN(&recorder)
        measureCore(&recorder)
        try measurePlanes(&recorder)
        guard !recorder.measurements.isEmpty else { fail("no case's name contains '\(filter)'") }
        report(recorder.measurements)
        if let jsonPath {
            try JSONEncoder().encode(recorder.measurements).write(to: URL(filePath: jsonPath))
        }
        if let thresholdsPath {
            try check(recorder.measurements, isPartial: !filter.isEmpty, against: thresholdsPath)
        }
    }

    private static func report(_ measurements: [Measurement]) {
        print(row(["case", "ns", "allocations", "retains+releases"]))
        for one in measurements {
            print(
                row([one.name] + [one.nanoseconds, one.allocations, one.references].map { "\(rounded($0))" }))
        }
    }

    private static func row(_ cells: [String]) -> String {
        let widths = [36, 12, 14, 18]
        return zip(cells, widths).map { cell, width in
            cell + String(repeating: " ", count: max(1, width - cell.count))
        }.joined()
    }

    private static func check(_ measurements: [Measurement], isPartial: Bool, against path: String) throws {
        let complaints = try Thresholds(path: path).complaints(about: measurements, isPartial: isPartial)
        guard complaints.isEmpty else { fail(complaints.joined(separator: "\n")) }
        print("all \(measurements.count) cases within \(path)")
    }

    private static func fail(_ message: String) -> Never {
        var text = "micro: \(message)\n"
        text.withUTF8 { bytes in _ = write(STDERR_FILENO, bytes.baseAddress, bytes.count) }
        exit(1)
    }
}
