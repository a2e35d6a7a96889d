import ArgumentParser
import FoundationEssentials
import RelayCore

/// `relayd credentials`: mints time-limited ones, as coturn's `use-auth-secret` makes them.
struct Credentials: ParsableCommand {
    enum Format: String, ExpressibleByArgument, CaseIterable {
        case text, json
    }

    static let configuration = CommandConfiguration(
        abstract: "Mint time-limited credentials from the relay's secret.",
        discussion: """
            The secret comes from --auth-secret, --auth-secret-file, RELAYD_AUTH_SECRET or the file of --config; with
            several the first one signs. A file keeps it out of the process list.
            """)

    @Option(help: "A YAML file with auth-secret or auth-secret-file.")
    var config: String?
    @Option(help: "The secret.")
    var authSecret: [String] = []
    @Option(help: "A file with the secret.")
    var authSecretFile: String?
    @Option(help: "Whom the credentials are for; quotas count by it.")
    var userId = ""
    @Option(help: "How long they open new allocations: seconds, or a number with s, m, h or d.")
    var lifetime: Lifetime = Lifetime(seconds: 86_400)
    @Option(help: "A URI for the JSON, such as turn:turn.example.org:3478?transport=udp (repeatable).")
    var uri: [String] = []
    @Option(help: "How to print them.")
    var format: Format = .text

    func run() throws {
        var values: [OptionKey: [String]] = [:]
        if !authSecret.isEmpty { values[.authSecret] = authSecret }
        if let authSecretFile { values[.authSecretFile] = [authSecretFile] }
        let environment = Environment.variables
        let layers = OptionLayers(
            commandLine: values, environment: environment,
            file: (config ?? environment["RELAYD_CONFIG"]).map { ConfigurationFile(path: $0) })
        let (settings, problems) = Settings.read(layers)
        guard let secret = settings.authSecrets.first else {
            let about = problems.filter { $0.description.contains("auth-secret") }
            let missing = OptionProblem("no secret: add --auth-secret-file FILE or --auth-secret SECRET")
            throw Exit.configuration(about.isEmpty ? [missing] : about)
        }
        let expiry = UInt64(Date().timeIntervalSince1970) + lifetime.seconds
        let credential = TimeLimitedCredential(user: userId, expiresAtSeconds: expiry, secret: secret)
        switch format {
        case .text: print("username: \(credential.username)\npassword: \(credential.password)")
        case .json: print(try json(credential))
        }
    }

    /// The shape of `RTCConfiguration.iceServers`, ready for a browser.
    private func json(_ credential: TimeLimitedCredential) throws -> String {
        struct Servers: Encodable {
            struct Server: Encodable {
                let urls: [String]
                let username: String
                let credential: String
            }
            let iceServers: [Server]
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let servers = Servers(iceServers: [
            .init(urls: uri, username: credential.username, credential: credential.password)
        ])
        return String(decoding: try encoder.encode(servers), as: UTF8.self)
    }
}

/// A span of time as people write it: `3600`, `90s`, `15m`, `24h`, `7d`.
struct Lifetime: ExpressibleByArgument, Equatable {
    let seconds: UInt64

    init(seconds: UInt64) { self.seconds = seconds }

    init?(argument: String) {
        let years = 10 * 365 * 86_400 as UInt64
        guard let seconds = Quantity.seconds(argument), (1...years).contains(seconds) else { return nil }
        self.seconds = seconds
    }

    var defaultValueDescription: String { "\(seconds)" }
}
