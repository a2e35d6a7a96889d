import ArgumentParser

@testable import relayd

/// What comes of flags, environment and file together.
struct Reading {
    let settings: Settings
    /// The messages, with the file's path written as FILE.
    let problems: [String]
    let layers: OptionLayers

    /// - Parameters:
    ///   - flags: as they stand on the command line.
    ///   - yaml: the text of the file, if there is one.
    init(_ flags: [String] = [], environment: [String: String] = [:], yaml: String? = nil) throws {
        let options = try CommandLineOptions.parse(flags)
        let file = try yaml.map { try TemporaryFile($0) }
        layers = OptionLayers(
            commandLine: options.values, environment: environment,
            file: file.map { ConfigurationFile(path: $0.path) })
        let (settings, problems) = Settings.read(layers)
        self.settings = settings
        self.problems = problems.map { problem in
            file.map { problem.description.replacing($0.path, with: "FILE") } ?? problem.description
        }
    }
}

extension [String] {
    /// Credentials, so that their absence is not a problem of every test.
    static let credentials = ["--user", "alice:secret"]
}
