import HTTPTypes
import HummingbirdCore
import Logging
import NIOCore
import NIOPosix
import STUN
import ServiceLifecycle

/// `--http`: `/healthz`, `/readyz` and `/metrics`. Made only when it is asked for.
///
/// Served by Hummingbird's core without its router: the router's form coding brings all of Foundation and its Unicode
/// tables, 50 MB of program for three paths.
struct AdminServer: Service {
    private let address: TransportAddress
    private let server: RelayServer

    init(at address: TransportAddress, server: RelayServer) {
        self.address = address
        self.server = server
    }

    func run() async throws {
        let relay = server
        let http = try HTTPServerBuilder.http1().buildServer(
            configuration: ServerConfiguration(address: .hostname("\(address.ip)", port: Int(address.port))),
            eventLoopGroup: MultiThreadedEventLoopGroup.singleton,
            logger: Logger(label: "http") { _ in SwiftLogNoOpLogHandler() },
            responder: { request, writer, _ in
                let page = AdminPage(request.head.method, path: request.head.path ?? "/", of: relay)
                try await writer.write(
                    response: HTTPResponse(status: page.status, headerFields: page.headers),
                    body: ResponseBody(byteBuffer: ByteBuffer(string: page.text)))
            })
        do {
            try await http.run()
        } catch {
            // Cut off at the end: no failure.
            if Task.isCancelled { return }
            throw StartError(
                "cannot serve HTTP at \(address): \(error). Choose another address with --http, or leave it out.",
                .unavailable)
        }
    }
}

/// What one request gets.
struct AdminPage {
    let status: HTTPResponse.Status
    let text: String
    private let contentType: String

    init(_ method: HTTPRequest.Method, path: String, of relay: RelayServer) {
        guard method == .get else {
            self.init(.methodNotAllowed, "only GET is served here\n")
            return
        }
        switch path.prefix(while: { $0 != "?" }) {
        // Alive: the process answers. Ready: the workers run and new allocations are granted.
        case "/healthz": self.init(.ok, "ok\n")
        case "/readyz": self.init(.ok, "ready\n")
        case "/metrics": self.init(.ok, MetricsPage(relay).text, MetricsPage.contentType)
        default: self.init(.notFound, "there are /healthz, /readyz and /metrics\n")
        }
    }

    private init(
        _ status: HTTPResponse.Status, _ text: String, _ contentType: String = "text/plain; charset=utf-8"
    ) {
        self.status = status
        self.text = text
        self.contentType = contentType
    }

    var headers: HTTPFields { [.contentType: contentType, .contentLength: "\(text.utf8.count)"] }
}
