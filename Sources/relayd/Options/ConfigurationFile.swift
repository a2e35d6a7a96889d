import Configuration

/// A YAML file of keys: scalars or lists of scalars, nothing deeper.
///
/// The node tree is walked here and not by swift-configuration's own YAML provider, because a person who misspelt a key
/// wants to know the line.
struct ConfigurationFile {
    /// A value as it stands in the file.
    struct Entry {
        let values: [String]
        let line: Int
    }

    let path: String
    private(set) var entries: [OptionKey: Entry] = [:]
    private(set) var problems: [OptionProblem] = []

    /// Reads and walks the file; an unreadable one is a problem like any other.
    init(path: String) {
        self.path = path
        do {
            let text = try TextFile.read(path)
            guard let root = try YAMLNode.parse(text) else { return }
            walk(root)
        } catch let error as YAMLNode.SyntaxError {
            problems.append(OptionProblem("\(path):\(error.line): this is not YAML: \(error)"))
        } catch {
            problems.append(OptionProblem("\(path): the file cannot be read: \(error)"))
        }
    }

    /// The file as a provider of swift-configuration.
    var provider: InMemoryProvider {
        var values: [AbsoluteConfigKey: ConfigValue] = [:]
        for (key, entry) in entries {
            let content: ConfigContent =
                key.shape == .list ? .stringArray(entry.values) : .string(entry.values.first ?? "")
            values[AbsoluteConfigKey([key.rawValue])] = ConfigValue(content, isSecret: key.isSecret)
        }
        return InMemoryProvider(name: path, values: values)
    }

    private mutating func walk(_ root: YAMLNode) {
        // `---` alone is an empty document: one empty scalar.
        if root.scalarText == "" { return }
        guard case .mapping(let pairs) = root else {
            return problems.append(OptionProblem("\(path): the file must be a list of `key: value` lines"))
        }
        for pair in pairs {
            guard let key = OptionKey(rawValue: pair.key) else {
                problems.append(.unknownKey(pair.key, at: "\(path):\(pair.line)"))
                continue
            }
            guard entries[key] == nil else {
                problems.append(OptionProblem("\(path):\(pair.line): \(key.rawValue) stands twice"))
                continue
            }
            take(pair.value, for: key, line: pair.line)
        }
    }

    private mutating func take(_ node: YAMLNode, for key: OptionKey, line: Int) {
        switch node {
        case .scalar(let text):
            entries[key] = Entry(values: [text], line: line)
        case .sequence(let items) where key.shape == .list && items.allSatisfy({ $0.scalarText != nil }):
            entries[key] = Entry(values: items.compactMap(\.scalarText), line: line)
        case .sequence, .mapping:
            let wanted = key.shape == .list ? "a value or a list of values" : "one value"
            problems.append(OptionProblem("\(path):\(line): \(key.rawValue) takes \(wanted)"))
        }
    }
}

/// Something wrong with the configuration, in a person's words: where, what was found, what is accepted.
struct OptionProblem: Error, Equatable, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }

    static func unknownKey(_ name: String, at place: String) -> OptionProblem {
        let guess = OptionKey.nearest(to: name).map { "; did you mean \($0.rawValue)?" } ?? ""
        return OptionProblem("\(place): there is no key \(name)\(guess)")
    }
}
