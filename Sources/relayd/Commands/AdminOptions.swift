import ArgumentParser
import Glibc

/// Where a running relay is reached: said by the same keys, in the same places, as when it was started.
struct AdminOptions: ParsableArguments {
    /// Where packages put it.
    static let usualSocket = "/run/relayd/admin.sock"

    @Option(name: .long, help: "The relay's YAML file; admin-socket, http and http-token-file are read from it.")
    var config: String?
    @Option(name: .long, help: "The relay's unix socket (default: what is configured, else \(usualSocket)).")
    var adminSocket: String?
    @Option(name: .long, help: "The relay's HTTP address, such as 127.0.0.1:9090.")
    var http: String?
    @Option(name: .long, help: "The file with the token that HTTP asks for.")
    var httpTokenFile: String?
    @Flag(name: .long, help: "Print JSON.")
    var json = false

    /// The one client of this command.
    func client() throws -> AdminClient {
        var given: [OptionKey: [String]] = [:]
        if let adminSocket { given[.adminSocket] = [adminSocket] }
        if let http { given[.http] = [http] }
        if let httpTokenFile { given[.httpTokenFile] = [httpTokenFile] }
        let environment = Environment.variables
        let path = config ?? environment["RELAYD_CONFIG"]
        let layers = OptionLayers(
            commandLine: given, environment: environment, file: path.map { ConfigurationFile(path: $0) })
        let (settings, problems) = Settings.read(layers)
        let keys = [OptionKey.adminSocket, .http, .httpTokenFile].map(\.rawValue)
        // The rest of the relay's configuration is not this command's business.
        let own = problems.filter { problem in keys.contains { problem.description.contains($0) } }
        guard own.isEmpty else { throw ValidationError(own.map(\.description).joined(separator: "\n")) }
        if http != nil || settings.adminSocketPath == nil, let address = settings.http {
            return AdminClient(place: .tcp(address, token: settings.httpToken))
        }
        return AdminClient(place: .unix(path: settings.adminSocketPath ?? Self.usualSocket))
    }

    /// Says what kept a command from its answer, and how it ends.
    static func exit(_ failure: AdminClient.Failure) -> ExitCode {
        let writer = LogWriter()
        writer.write("relayd: \(failure)")
        writer.flush()
        return ExitCode(StartError.Kind.unavailable.rawValue)
    }
}
