import ArgumentParser
import Glibc
import Logging
import RelayWorker
import ServiceLifecycle

/// `relayd run`, the default: start, relay until told to stop, stop.
struct Run: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Run the relay (the default).")

    @OptionGroup var options: CommandLineOptions

    func run() async throws {
        // Whoever reads the log may go away; the relay stays.
        signal(SIGPIPE, SIG_IGN)
        // The socket of administration is for this user and group alone.
        umask(0o007)
        let loaded = LoadedSettings(options)
        guard loaded.problems.isEmpty else { throw Exit.configuration(loaded.problems) }
        let demo = loaded.settings.isDemo ? Demo() : nil
        let settings = demo?.apply(to: loaded.settings) ?? loaded.settings

        let writer = LogWriter(format: settings.logFormat)
        let logger = Logger(label: "relayd") { _ in
            RelayLogHandler(format: settings.logFormat, level: settings.logLevel, writer: writer)
        }
        defer { writer.flush() }
        for warning in loaded.warnings { logger.warning("environment", metadata: ["reason": "\(warning)"]) }

        let signals = await StopSignals()
        let server: RelayServer
        do throws(StartError) {
            server = try RelayServer(settings, logger: logger)
        } catch {
            throw Exit.start(error)
        }
        server.announce(settings, to: logger)
        if let demo {
            // `print` would keep it in a buffer while standard output is no terminal.
            let output = LogWriter(descriptor: STDOUT_FILENO)
            output.write(demo.invitation(plane: server.planeText))
            output.flush()
        }
        StartupMemory.release()
        do {
            try await Self.group(of: server, settings, signals).run()
        } catch let error as StartError {
            writer.flush()
            throw Exit.start(error)
        }
        logger.info("stopped")
    }

    /// What runs until the end. Services stop from the last to the first: the workers at once, then HTTP, whose clients
    /// may keep their connections open and are cut off after a moment.
    private static func group(
        of server: RelayServer, _ settings: Settings, _ signals: StopSignals
    ) -> ServiceGroup {
        var services: [any Service] = [signals]
        if let address = settings.http {
            services.append(AdminServer(at: .tcp(address, token: settings.httpToken), server: server))
        }
        if let path = settings.adminSocketPath { services.append(AdminServer(at: .unix(path: path), server: server)) }
        services.append(server)
        var configuration = ServiceGroupConfiguration(
            services: services.map { .init(service: $0, successTerminationBehavior: .gracefullyShutdownGroup) },
            logger: Logger(label: "lifecycle") { _ in SwiftLogNoOpLogHandler() })
        configuration.maximumGracefulShutdownDuration = .milliseconds(50)
        return ServiceGroup(configuration: configuration)
    }
}

/// The options of this start, read from all of their sources.
struct LoadedSettings {
    let settings: Settings
    let problems: [OptionProblem]
    let warnings: [String]
    let layers: OptionLayers

    init(_ options: CommandLineOptions) {
        let environment = Environment.variables
        let path = options.config ?? environment["RELAYD_CONFIG"]
        layers = OptionLayers(
            commandLine: options.values, environment: environment, file: path.map { ConfigurationFile(path: $0) })
        (settings, problems) = Settings.read(layers)
        warnings = layers.warnings
    }
}

/// The environment of this process.
enum Environment {
    static var variables: [String: String] {
        var variables: [String: String] = [:]
        var next = environ
        while let entry = next.pointee {
            let text = String(cString: entry)
            if let equals = text.firstIndex(of: "=") {
                variables[String(text[..<equals])] = String(text[text.index(after: equals)...])
            }
            next += 1
        }
        return variables
    }
}

/// The ends of the program that are not success: a message on standard error and an exit status of sysexits.h.
enum Exit {
    static func configuration(_ problems: [OptionProblem]) -> ExitCode {
        say(
            problems.map { "relayd: \($0)" } + ["relayd: nothing was started; relayd check shows the effective options"]
        )
        return ExitCode(StartError.Kind.configuration.rawValue)
    }

    static func start(_ error: StartError) -> ExitCode {
        say(["relayd: \(error)"])
        return ExitCode(error.kind.rawValue)
    }

    private static func say(_ lines: [String]) {
        let writer = LogWriter()
        for line in lines { writer.write(line) }
        writer.flush()
    }
}
