import RelayCore

/// Reads values key by key, and collects what is wrong with them.
struct SettingsReader {
    private let layers: OptionLayers
    var problems: [OptionProblem]

    init(_ layers: OptionLayers) {
        self.layers = layers
        problems = layers.problems
    }

    mutating func value<Value>(_ key: OptionKey, _ otherwise: Value, _ parse: (String) -> Value?) -> Value {
        guard let found = layers.find(key), let text = found.values.first else { return otherwise }
        if let value = parse(text) { return value }
        problems.append(problem(key, text, found.origin))
        return otherwise
    }

    mutating func value<Value>(_ key: OptionKey, _ otherwise: Value?, _ parse: (String) -> Value?) -> Value? {
        guard let found = layers.find(key), let text = found.values.first else { return otherwise }
        if let value = parse(text) { return value }
        problems.append(problem(key, text, found.origin))
        return otherwise
    }

    mutating func number(_ key: OptionKey, _ otherwise: Int, in range: ClosedRange<Int>) -> Int {
        value(key, otherwise) { text in Int(text).flatMap { range.contains($0) ? $0 : nil } }
    }

    mutating func seconds(_ key: OptionKey, _ otherwise: UInt32, in range: ClosedRange<UInt64>) -> UInt32 {
        value(key, otherwise) { text in
            Quantity.seconds(text).flatMap { range.contains($0) ? UInt32(clamping: $0) : nil }
        }
    }

    /// A limit on traffic: bits a second by one key, datagrams a second by another.
    mutating func rate(_ bits: OptionKey, _ packets: OptionKey) -> RateLimit {
        RateLimit(
            bitsPerSecond: value(bits, 0) { text in
                Quantity.bitsPerSecond(text).flatMap { $0 == 0 || (8...100_000_000_000).contains($0) ? $0 : nil }
            },
            packetsPerSecond: UInt64(number(packets, 0, in: 0...100_000_000)))
    }

    mutating func bytes(_ key: OptionKey, _ otherwise: Int, in range: ClosedRange<UInt64>) -> Int {
        value(key, otherwise) { text in Quantity.bytes(text).flatMap { range.contains($0) ? Int($0) : nil } }
    }

    mutating func list<Value>(_ key: OptionKey, _ parse: (String) -> Value?) -> [Value] {
        guard let found = layers.find(key) else { return [] }
        return found.values.compactMap { text in
            if let value = parse(text) { return value }
            problems.append(problem(key, text, found.origin))
            return nil
        }
    }

    mutating func list<Value>(_ key: OptionKey, _ parse: (String) throws(OptionProblem) -> Value) -> [Value] {
        guard let found = layers.find(key) else { return [] }
        return found.values.compactMap { text in
            do throws(OptionProblem) {
                return try parse(text)
            } catch {
                problems.append(OptionProblem("\(found.origin): \(error)"))
                return nil
            }
        }
    }

    private func problem(_ key: OptionKey, _ text: String, _ origin: String) -> OptionProblem {
        let shown = key.isSecret ? "a value that is not shown" : "\"\(text)\""
        return OptionProblem("\(origin): \(key.rawValue) is \(shown); accepted: \(key.accepted)")
    }
}
