import Foundation

/// The built program, run to its end.
struct Program {
    let status: Int32
    let output: String
    let errors: String

    /// Runs `relayd` with these arguments. The environment holds nothing but `environment`.
    init(_ arguments: [String], environment: [String: String] = [:]) throws {
        let (process, output, errors) = try Self.start(arguments, environment)
        // Both are small, so neither pipe fills up while the other one is read.
        self.output = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        self.errors = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        status = process.terminationStatus
    }

    static func start(
        _ arguments: [String], _ environment: [String: String] = [:]
    ) throws -> (process: Process, output: Pipe, errors: Pipe) {
        let process = Process()
        process.executableURL = binary
        process.arguments = arguments
        process.environment = environment
        let (output, errors) = (Pipe(), Pipe())
        process.standardOutput = output
        process.standardError = errors
        process.standardInput = FileHandle.nullDevice
        try process.run()
        return (process, output, errors)
    }

    /// The tests' own bundle lies beside the program, whatever the configuration and the build folder.
    private static var binary: URL {
        let bundle = URL(filePath: "/proc/self/maps").path
        let maps = (try? String(contentsOfFile: bundle, encoding: .utf8)) ?? ""
        let line = maps.split(separator: "\n").first { $0.hasSuffix(".xctest") }
        let path =
            line.flatMap { $0.split(separator: " ", maxSplits: 5).last.map(String.init) } ?? CommandLine.arguments[0]
        return URL(filePath: path.trimmingCharacters(in: .whitespaces)).deletingLastPathComponent()
            .appending(path: "relayd")
    }
}
