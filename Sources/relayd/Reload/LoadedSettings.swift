/// The options as they stand now, read from all of their sources.
struct LoadedSettings: Sendable {
    let settings: Settings
    let problems: [OptionProblem]
    let warnings: [String]
    let layers: OptionLayers
    /// The configuration file, if there is one.
    let configPath: String?

    init(_ options: CommandLineOptions) {
        let environment = Environment.variables
        configPath = options.config ?? environment["RELAYD_CONFIG"]
        layers = OptionLayers(
            commandLine: options.values, environment: environment, file: configPath.map { ConfigurationFile(path: $0) })
        (settings, problems) = Settings.read(layers)
        warnings = layers.warnings
    }

    /// The files that a change of may change the options.
    var paths: [String] {
        [
            configPath, layers.find(.authSecretFile)?.values.first, layers.find(.httpTokenFile)?.values.first,
        ].compactMap(\.self)
    }
}
