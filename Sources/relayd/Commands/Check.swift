import ArgumentParser

/// `relayd check`: validates the configuration and shows what would hold.
struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Validate a configuration and print the effective options with their sources.")

    @OptionGroup var options: CommandLineOptions

    func run() throws {
        let loaded = LoadedSettings(options)
        guard loaded.problems.isEmpty else { throw Exit.configuration(loaded.problems) }
        for warning in loaded.warnings { print("warning: \(warning)") }
        print("The configuration is valid.\n")
        for key in OptionKey.allCases {
            guard let found = loaded.layers.find(key) else {
                if let text = key.defaultText { print("\(key.rawValue): \(text)  (default)") }
                continue
            }
            let shown = key.isSecret ? "\(found.values.count) not shown" : found.values.joined(separator: ", ")
            print("\(key.rawValue): \(shown)  (\(found.origin))")
        }
    }
}
