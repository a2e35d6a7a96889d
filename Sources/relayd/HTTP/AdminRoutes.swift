import FoundationEssentials
import HTTPTypes
import HummingbirdCore
import NIOCore

/// Every path of the administration, and what it does.
struct AdminRoutes: Sendable {
    private static let bodyLimitBytes = 4096

    let server: RelayServer

    /// - Parameter access: who may do more than look at health and metrics.
    func answer(to request: Request, _ access: AdminAccess) async -> AdminAnswer {
        let head = request.head
        let path = (head.path ?? "/").prefix { $0 != "?" }
        if let page = publicPage(at: path) {
            return head.method == .get ? page : Self.methodNotAllowed("GET")
        }
        guard let route = Self.administration[String(path)] else {
            return AdminAnswer(.notFound, "there are /healthz, /readyz, /metrics, /status and /plane\n")
        }
        if let refusal = access.refusal(of: head) { return refusal }
        guard head.method == route.method else { return Self.methodNotAllowed(route.method.rawValue) }
        var body = ByteBuffer()
        do {
            if head.method == .post { body = try await request.body.collect(upTo: Self.bodyLimitBytes) }
        } catch {
            return AdminAnswer(.contentTooLarge, "a body of at most \(Self.bodyLimitBytes) bytes is read here\n")
        }
        return await route.serve(server, body)
    }

    private func publicPage(at path: Substring) -> AdminAnswer? {
        switch path {
        // Alive: the process answers. Ready: the workers run and new allocations are granted.
        case "/healthz": AdminAnswer(.ok, "ok\n")
        case "/readyz" where server.drain.isDraining: AdminAnswer(.serviceUnavailable, "draining\n")
        case "/readyz": AdminAnswer(.ok, "ready\n")
        case "/metrics": AdminAnswer(.ok, MetricsPage(server).text, contentType: MetricsPage.contentType)
        default: nil
        }
    }

    private static func methodNotAllowed(_ allowed: String) -> AdminAnswer {
        AdminAnswer(.methodNotAllowed, "only \(allowed) is served here\n", [.allow: allowed])
    }

    // MARK: Administration

    private struct Route: Sendable {
        let method: HTTPRequest.Method
        let serve: @Sendable (RelayServer, ByteBuffer) async -> AdminAnswer
    }

    private static let administration: [String: Route] = [
        "/status": Route(method: .get) { server, _ in AdminAnswer(json: RelayStatus(server)) },
        "/plane": Route(method: .post) { server, body in await changePlane(of: server, body) },
    ]

    private static func changePlane(of server: RelayServer, _ body: ByteBuffer) async -> AdminAnswer {
        guard let wanted = try? JSONDecoder().decode(PlaneRequest.self, from: Data(body.readableBytesView)) else {
            return AdminAnswer(.badRequest, "a body such as {\"plane\":\"io-uring\"} is needed here\n")
        }
        do throws(PlaneSupervisor.SwapError) {
            try await server.planes.swap(to: wanted.plane)
            return AdminAnswer(json: RelayStatus(server).plane)
        } catch {
            return AdminAnswer(.conflict, json: AdminProblem(error: error.description))
        }
    }
}

/// What `POST /plane` takes.
struct PlaneRequest: Codable, Sendable {
    /// `xdp`, `io-uring` or `socket`.
    let plane: String
}

/// Why something that was asked for did not happen.
struct AdminProblem: Codable, Sendable {
    let error: String
}
