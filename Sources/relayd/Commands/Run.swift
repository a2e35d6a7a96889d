import ArgumentParser
import CoreMetrics
import Glibc
import Logging
import RelayWorker
import ServiceLifecycle
import SystemPackage

/// `relayd run`, the default: start, relay until told to stop, stop.
struct Run: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Run the relay (the default).")

    @OptionGroup var options: CommandLineOptions

    func run() async throws {
        // Whoever reads the log may go away; the relay stays.
        signal(SIGPIPE, SIG_IGN)
        // The socket of administration is for this user and group alone.
        umask(0o007)
        let signals = await OperatorSignals()
        let (loaded, watch) = try load(watchedFor: signals)
        let demo = loaded.settings.isDemo ? Demo() : nil
        let settings = demo?.apply(to: loaded.settings) ?? loaded.settings

        let writer = LogWriter(
            format: settings.logFormat, isJournal: Journal.reads(STDERR_FILENO, Environment.variables))
        let threshold = LogThreshold(settings.logLevel)
        let logger = Logger(label: "relayd") { _ in
            RelayLogHandler(format: settings.logFormat, threshold: threshold, writer: writer)
        }
        defer { writer.flush() }
        for warning in loaded.warnings { logger.warning("environment", metadata: ["reason": "\(warning)"]) }
        if case .failure(let error) = watch {
            logger.warning(
                "configuration not watched",
                metadata: ["reason": "inotify: \(error); raise fs.inotify.max_user_instances, or send SIGHUP yourself"])
        }

        let server: RelayServer
        let collector: HTTPExchange.Destination?
        do throws(StartError) {
            // Before anything is bound: what a ring holds outlives a process that ends at once.
            collector = try OTLPExporter.destination(settings)
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
        MetricsSystem.bootstrap(MetricsRegistry.program)
        let events = RelayEvents()
        let exporter = OTLPExporter(settings, to: collector, server: server, logger: logger, events: events)
        let hostWatch = watchHost(signals.orders, logger)
        defer { withExtendedLifetime(hostWatch) {} }
        let manager = ServiceManager(Environment.variables)
        let reloader = Reloader(
            options: options, started: loaded, demo: demo, server: server, threshold: threshold, manager: manager,
            logger: logger, orders: signals.orders, watch: (try? watch.get()) ?? nil, events: events)
        let watchdog = Watchdog(manager: manager, server: server, logger: logger)
        StartupMemory.release()
        do {
            try await Self.group(
                of: server, settings, exporter, signals, reloader, watchdog, threshold, events, logger
            ).run()
        } catch let error as StartError {
            writer.flush()
            throw Exit.start(error)
        }
        logger.info("stopped")
    }

    /// Peers must not reach an address that the host gets later.
    private func watchHost(_ orders: ReloadOrders, _ logger: Logger) -> HostAddressWatch? {
        defer {
            // What changed since the start read them.
            orders.post(.followHost)
        }
        do throws(SocketError) {
            return try HostAddressWatch { orders.post(.followHost) }
        } catch {
            logger.warning(
                "host addresses not watched",
                metadata: ["reason": "\(error) Until then, SIGHUP has them read again."])
            return nil
        }
    }

    /// The options, and a watch that began before they were read, so that no change falls between the two. Without a
    /// watch, nothing or why there is none.
    private func load(
        watchedFor signals: OperatorSignals
    ) throws -> (loaded: LoadedSettings, watch: Result<ConfigWatch?, Errno>) {
        let first = LoadedSettings(options)
        guard first.problems.isEmpty else { throw Exit.configuration(first.problems) }
        guard first.settings.watchesConfig, !first.paths.isEmpty else { return (first, .success(nil)) }
        let watch = Result { () throws(Errno) -> ConfigWatch? in
            try ConfigWatch(first.paths) { signals.requestReload() }
        }
        let second = LoadedSettings(options)
        guard second.problems.isEmpty else { throw Exit.configuration(second.problems) }
        return (second, watch)
    }

    /// What runs until the end. Services stop from the last to the first: the service manager hears of it, the workers
    /// stop at once, then HTTP, whose clients may keep their connections open and are cut off after a moment.
    private static func group(
        of server: RelayServer, _ settings: Settings, _ exporter: OTLPExporter?, _ signals: OperatorSignals,
        _ reloader: Reloader, _ watchdog: Watchdog, _ threshold: LogThreshold, _ events: RelayEvents, _ logger: Logger
    ) -> ServiceGroup {
        let routes = AdminRoutes(server: server, threshold: threshold, events: events) { signals.requestReload() }
        var services: [any Service] = [
            signals, server.drain, DrainOnSignal(signals: signals.drains, drain: server.drain), reloader,
        ]
        if let address = settings.http {
            services.append(AdminServer(at: .tcp(address, token: settings.httpToken), routes: routes))
        }
        if let path = settings.adminSocketPath { services.append(AdminServer(at: .unix(path: path), routes: routes)) }
        if let exporter { services.append(exporter) }
        services += [server, watchdog] as [any Service]
        var configuration = ServiceGroupConfiguration(
            services: services.map { .init(service: $0, successTerminationBehavior: .gracefullyShutdownGroup) },
            logger: Logger(label: "lifecycle") { _ in SwiftLogNoOpLogHandler() })
        configuration.maximumGracefulShutdownDuration = .milliseconds(50)
        return ServiceGroup(configuration: configuration)
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
