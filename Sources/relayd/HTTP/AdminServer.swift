import Glibc
import HTTPTypes
import HummingbirdCore
import Logging
import NIOCore
import NIOPosix
import STUN
import ServiceLifecycle

/// Where administration is served: `--http`, and the unix socket of `--admin-socket`. Each is made only when it is
/// asked for.
///
/// Served by Hummingbird's core without its router: the router's form coding brings all of Foundation and its Unicode
/// tables, 50 MB of program for a few paths.
struct AdminServer: Service {
    enum Place {
        case tcp(TransportAddress, token: String?)
        case unix(path: String)
    }

    private let place: Place
    private let routes: AdminRoutes

    init(at place: Place, routes: AdminRoutes) {
        self.place = place
        self.routes = routes
    }

    private static let idleTimeout = TimeAmount.seconds(60)
    private static let mostConnections = 256

    func run() async throws {
        let routes = routes
        let access = access
        let quiet = Logger(label: "http") { _ in SwiftLogNoOpLogHandler() }
        // Descriptors are shared with the relay sockets: nobody who only connects may use them up.
        let http = try HTTPServerBuilder.http1(configuration: .init(idleTimeout: Self.idleTimeout)).buildServer(
            configuration: ServerConfiguration(
                address: try bindAddress(),
                availableConnectionsDelegate: MaximumAvailableConnections(Self.mostConnections, logger: quiet)),
            eventLoopGroup: MultiThreadedEventLoopGroup.singleton, logger: quiet,
            responder: { request, writer, _ in
                let answer = await routes.answer(to: request, access)
                try await writer.write(
                    response: HTTPResponse(status: answer.status, headerFields: answer.headers),
                    body: answer.body)
            })
        defer { if case .unix(let path) = place { unlink(path) } }
        do {
            try await http.run()
        } catch {
            // Cut off at the end: no failure.
            if Task.isCancelled { return }
            throw refusal("\(error)")
        }
    }

    private var access: AdminAccess {
        switch place {
        case .tcp(let address, let token): .tcp(isLoopback: address.ip.isLoopback, token: token)
        case .unix: .unix
        }
    }

    private func bindAddress() throws(StartError) -> BindAddress {
        switch place {
        case .tcp(let address, _): return .hostname("\(address.ip)", port: Int(address.port))
        case .unix(let path):
            try makeWay(for: path)
            return .unixDomainSocket(path: path)
        }
    }

    /// A socket that nobody listens on any more is left of a relay that was killed; one that answers is another relay's.
    private func makeWay(for path: String) throws(StartError) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFSOCK else { throw refusal("something that is no socket is there") }
        guard !UnixSocket.isAnswered(at: path) else { throw refusal("another relay answers there") }
        unlink(path)
    }

    private func refusal(_ reason: String) -> StartError {
        switch place {
        case .tcp(let address, _):
            StartError(
                "cannot serve HTTP at \(address): \(reason). Choose another address with --http, or leave it out.",
                .unavailable)
        case .unix(let path):
            StartError(
                "cannot serve administration at \(path): \(reason). Its folder must exist and be writable; choose another "
                    + "path with --admin-socket, or leave it out.", .unavailable)
        }
    }
}

/// A look at a unix socket from outside.
enum UnixSocket {
    /// Whether a program listens there.
    static func isAnswered(at path: String) -> Bool {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { room in
            // Its length was checked with the options.
            room.copyBytes(from: path.utf8.prefix(room.count - 1))
        }
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0
            }
        }
    }
}
