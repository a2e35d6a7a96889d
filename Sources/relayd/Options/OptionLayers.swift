import Configuration

/// The three sources of options, the strongest first: command line, environment, file.
struct OptionLayers {
    /// Where a value came from, as messages and `relayd check` name it.
    struct Found {
        let values: [String]
        let origin: String
    }

    private let commandLine: ConfigReader
    private let environment: ConfigReader
    private let file: ConfigurationFile?
    private let fileReader: ConfigReader?
    /// What the command line said twice, and what the file said that nobody understands.
    let problems: [OptionProblem]
    /// Environment variables that look like a misspelt key of ours. No errors: Kubernetes invents `RELAYD_…` variables
    /// for a service of that name.
    let warnings: [String]

    init(commandLine values: [OptionKey: [String]], environment: [String: String], file: ConfigurationFile?) {
        var given: [AbsoluteConfigKey: ConfigValue] = [:]
        for (key, list) in values {
            let content: ConfigContent = key.shape == .list ? .stringArray(list) : .string(list[0])
            given[AbsoluteConfigKey([key.rawValue])] = ConfigValue(content, isSecret: key.isSecret)
        }
        commandLine = ConfigReader(provider: InMemoryProvider(name: "command line", values: given))
        self.environment = ConfigReader(
            provider: EnvironmentVariablesProvider(environmentVariables: environment).prefixKeys(with: "relayd"))
        self.file = file
        fileReader = file.map { ConfigReader(provider: $0.provider) }
        problems = Self.repeated(values) + (file?.problems ?? [])
        warnings = Self.misspelt(environment)
    }

    /// The strongest source's value of a key.
    func find(_ key: OptionKey) -> Found? {
        if let values = Self.values(key, in: commandLine) { return Found(values: values, origin: "--\(key.rawValue)") }
        if let values = Self.values(key, in: environment) { return Found(values: values, origin: key.environmentName) }
        guard let file, let fileReader, let values = Self.values(key, in: fileReader) else { return nil }
        return Found(values: values, origin: "\(file.path):\(file.entries[key]?.line ?? 0)")
    }

    private static func values(_ key: OptionKey, in reader: ConfigReader) -> [String]? {
        let name = ConfigKey([key.rawValue])
        guard key.shape == .list else { return reader.string(forKey: name).map { [$0] } }
        return reader.stringArray(forKey: name)
    }

    /// Keys of one value that the command line gave several.
    private static func repeated(_ values: [OptionKey: [String]]) -> [OptionProblem] {
        OptionKey.allCases.filter { $0.shape != .list && values[$0, default: []].count > 1 }
            .map { OptionProblem("--\($0.rawValue): given \(values[$0, default: []].count) times; give it once") }
    }

    private static func misspelt(_ environment: [String: String]) -> [String] {
        let known = Set(OptionKey.allCases.map(\.environmentName) + ["RELAYD_CONFIG"])
        return environment.keys.sorted().compactMap { name in
            guard name.hasPrefix("RELAYD_"), !known.contains(name) else { return nil }
            let key = name.dropFirst("RELAYD_".count).lowercased().replacing("_", with: "-")
            return OptionKey.nearest(to: key).map { "\(name) is ignored; did you mean \($0.environmentName)?" }
        }
    }
}
