import FoundationEssentials
import Glibc
import Logging
import NIOCore
import NIOHTTP1
import ServiceLifecycle

/// Sends the metrics to a collector every so often. A collector that is away is told of once, and once more when it is
/// back; what it missed is in the next totals.
struct OTLPExporter: Service {
    private let endpoint: OTLPEndpoint
    private let interval: Duration
    private let server: RelayServer
    private let logger: Logger
    private let events: RelayEvents
    private let exchange: HTTPExchange

    /// Where metrics go; nothing where they go nowhere.
    static func destination(_ settings: Settings) throws(StartError) -> HTTPExchange.Destination? {
        guard let endpoint = settings.otlpEndpoint else { return nil }
        switch endpoint.scheme {
        case .http: return .tcp(host: endpoint.host, port: endpoint.port)
        case .https:
            let trust = try ServerTrust(host: endpoint.host, authorities: settings.otlpAuthorities)
            return .tls(host: endpoint.host, port: endpoint.port, trust)
        }
    }

    /// - Parameter destination: of these settings; nothing comes of none.
    init?(
        _ settings: Settings, to destination: HTTPExchange.Destination?, server: RelayServer, logger: Logger,
        events: RelayEvents
    ) {
        guard let endpoint = settings.otlpEndpoint, let destination else { return nil }
        self.endpoint = endpoint
        interval = .seconds(settings.otlpIntervalSeconds)
        self.server = server
        self.logger = logger
        self.events = events
        exchange = HTTPExchange(to: destination, patience: .seconds(10), answerLimitBytes: 1 << 20)
    }

    func run() async throws {
        do {
            try await cancelWhenGracefulShutdown { try await self.export() }
        } catch is CancellationError {}
    }

    private func export() async throws {
        let instance = Self.hostName()
        var isAway = false
        while true {
            try await Task.sleep(for: interval)
            let problem = await send(instance)
            events.noteDelivery(problem == nil ? .success : .failure)
            if let problem, !isAway {
                logger.warning(
                    "metrics not delivered", metadata: ["endpoint": "\(endpoint.description)", "reason": "\(problem)"])
            }
            if problem == nil, isAway {
                logger.info("metrics delivered again", metadata: ["endpoint": "\(endpoint.description)"])
            }
            isAway = problem != nil
        }
    }

    /// - Returns: what kept the metrics from the collector.
    private func send(_ instance: String) async -> String? {
        let page = MetricsPage(server)
        let encoder = JSONEncoder()
        encoder.outputFormatting = .withoutEscapingSlashes
        let body = OTLPRequest(
            page.families, instance: instance, startNanoseconds: UInt64(page.startTimeSeconds * 1e9),
            nowNanoseconds: UInt64(Date().timeIntervalSince1970 * 1e9))
        guard let data = try? encoder.encode(body) else { preconditionFailure("metrics that are no JSON") }
        do {
            let answer = try await exchange.send(
                .POST, endpoint.path,
                HTTPHeaders([
                    ("Host", endpoint.authority), ("Connection", "close"), ("Content-Type", "application/json"),
                    ("User-Agent", "relayd/\(Version.number)"),
                ]), ByteBuffer(bytes: data))
            guard answer.head.status.code < 300 else {
                return "the collector answered \(answer.head.status.code); is this its OTLP/HTTP port?"
            }
            return nil
        } catch {
            return "\(error)"
        }
    }

    private static func hostName() -> String {
        var name = [CChar](repeating: 0, count: 256)
        guard gethostname(&name, name.count - 1) == 0 else { return "unknown" }
        return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
