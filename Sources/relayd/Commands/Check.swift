import ArgumentParser

/// `relayd check`: validates the configuration and shows what would hold.
struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Validate a configuration and print the effective options with their sources.",
        discussion: """
            What it prints is YAML, each value with its source behind it. Secrets are left out; a file of it is
            a configuration once they are put back.
            """)

    @OptionGroup var options: CommandLineOptions

    func run() throws {
        let loaded = LoadedSettings(options)
        guard loaded.problems.isEmpty else { throw Exit.configuration(loaded.problems) }
        print("# The configuration is valid.")
        for warning in loaded.warnings { print("# warning: \(YAMLText.comment(warning))") }
        for line in EffectiveOptions(loaded.layers).lines { print(line) }
    }
}

/// Every key with its value and where that comes from, as YAML.
struct EffectiveOptions {
    let lines: [String]

    init(_ layers: OptionLayers) {
        lines = OptionKey.allCases.map { Self.line($0, layers.find($0)) }
    }

    private static func line(_ key: OptionKey, _ found: OptionLayers.Found?) -> String {
        guard let found else {
            guard let values = key.defaultValues else {
                return "# \(key.rawValue): \(key.defaultText ?? "not set")  (default)"
            }
            return "\(key.rawValue): \(YAMLText.value(values, of: key))  # default"
        }
        let origin = YAMLText.comment(found.origin)
        guard !key.isSecret else { return "# \(key.rawValue): \(found.values.count) not shown  (\(origin))" }
        return "\(key.rawValue): \(YAMLText.value(found.values, of: key))  # \(origin)"
    }
}
