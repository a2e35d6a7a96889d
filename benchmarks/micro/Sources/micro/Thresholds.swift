import FoundationEssentials

/// What a case may cost at most, in git: counts only. Times are never a test.
struct Threshold: Codable {
    let allocations: Double
    let references: Double
}

/// The thresholds of a JSON file: an object from case to ``Threshold``.
struct Thresholds {
    let byName: [String: Threshold]

    init(path: String) throws {
        byName = try JSONDecoder().decode([String: Threshold].self, from: Data(contentsOf: URL(filePath: path)))
    }

    /// One line for each case that costs more than it may, or that the file does not know, and for each that the file
    /// knows and nobody measured, unless `isPartial`.
    func complaints(about measurements: [Measurement], isPartial: Bool) -> [String] {
        let measured = Set(measurements.map(\.name))
        let missing = isPartial ? [] : byName.keys.filter { !measured.contains($0) }.sorted()
        return missing.map { "\($0): has a threshold and was not measured" } + excesses(of: measurements)
    }

    private func excesses(of measurements: [Measurement]) -> [String] {
        measurements.flatMap { one -> [String] in
            guard let limit = byName[one.name] else { return ["\(one.name): no threshold"] }
            var lines: [String] = []
            if one.allocations > limit.allocations + Self.tolerance {
                lines.append("\(one.name): \(rounded(one.allocations)) allocations, at most \(limit.allocations)")
            }
            if one.references > limit.references + Self.tolerance {
                lines.append(
                    "\(one.name): \(rounded(one.references)) retains and releases, at most \(limit.references)")
            }
            return lines
        }
    }

    /// What a table that grows once in a run may add.
    private static let tolerance = 0.01
}

func rounded(_ value: Double) -> Double { (value * 100).rounded() / 100 }
