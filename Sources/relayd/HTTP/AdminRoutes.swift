import FoundationEssentials
import HTTPTypes
import HummingbirdCore
import Logging
import NIOCore

/// Every path of the administration, and what it does.
struct AdminRoutes: Sendable {
    private static let bodyLimitBytes = 4096

    let server: RelayServer
    let threshold: LogThreshold
    private let requestReload: @Sendable () -> Void
    private let feed: EventFeed
    private let events: RelayEvents

    /// - Parameter requestReload: as SIGHUP does.
    init(
        server: RelayServer, threshold: LogThreshold, events: RelayEvents,
        requestReload: @escaping @Sendable () -> Void
    ) {
        self.server = server
        self.threshold = threshold
        self.requestReload = requestReload
        self.events = events
        feed = EventFeed(server)
    }

    /// - Parameter access: who may do more than look at health and metrics.
    func answer(to request: Request, _ access: AdminAccess) async -> AdminAnswer {
        let begin = ContinuousClock.now
        let answer = await serve(request, access)
        let (path, method) = Self.labels(of: request.head)
        events.noteRequest(method, path: path, status: answer.status.code, took: ContinuousClock.now - begin)
        return answer
    }

    /// How a request is counted: whoever asks cannot make up names.
    private static func labels(of head: HTTPRequest) -> (path: String, method: String) {
        let asked = String((head.path ?? "/").prefix { $0 != "?" })
        let known = administration.first { $0.matches(asked) }?.path
        let path = known ?? (publicPaths.contains(asked) || Dashboard.paths.contains(asked) ? asked : "other")
        return (path, administration.contains { $0.method == head.method } ? head.method.rawValue : "other")
    }

    private func serve(_ request: Request, _ access: AdminAccess) async -> AdminAnswer {
        let head = request.head
        let path = String((head.path ?? "/").prefix { $0 != "?" })
        if let page = publicPage(at: path) {
            return head.method == .get ? page : Self.methodNotAllowed("GET")
        }
        if let page = Dashboard.answer(at: path) {
            guard head.method == .get else { return Self.methodNotAllowed("GET") }
            // Where a token is needed, the page asks for it before it asks for figures.
            return access.needsToken ? page : access.refusal(of: head) ?? page
        }
        let routes = Self.administration.filter { $0.matches(path) }
        guard !routes.isEmpty else { return AdminAnswer(.notFound, Self.paths) }
        if let refusal = access.refusal(of: head) { return refusal }
        guard let route = routes.first(where: { $0.method == head.method }) else {
            return Self.methodNotAllowed(routes.map(\.method.rawValue).joined(separator: ", "))
        }
        guard let query = Query(head.path ?? "/") else {
            return AdminAnswer(.badRequest, "the query is not understood: NAME=VALUE&..., each name once\n")
        }
        var body = ByteBuffer()
        do {
            if head.method == .post { body = try await request.body.collect(upTo: Self.bodyLimitBytes) }
        } catch {
            return AdminAnswer(.contentTooLarge, "a body of at most \(Self.bodyLimitBytes) bytes is read here\n")
        }
        return await route.serve(self, AdminCall(argument: route.argument(of: path), query: query, body: body))
    }

    private static let publicPaths = ["/healthz", "/readyz", "/metrics"]

    private func publicPage(at path: String) -> AdminAnswer? {
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
        /// `*` at its end stands for one argument.
        let path: String
        let serve: @Sendable (AdminRoutes, AdminCall) async -> AdminAnswer

        private var stem: Substring? { path.hasSuffix("*") ? path.dropLast() : nil }

        func matches(_ path: String) -> Bool {
            guard let stem else { return path == self.path }
            return path.hasPrefix(stem) && path.count > stem.count && !path.dropFirst(stem.count).contains("/")
        }

        func argument(of path: String) -> String { stem.map { String(path.dropFirst($0.count)) } ?? "" }
    }

    private static let administration: [Route] = [
        Route(method: .get, path: "/status") { routes, _ in AdminAnswer(json: RelayStatus(routes.server)) },
        Route(method: .post, path: "/plane") { routes, call in await changePlane(of: routes.server, call) },
        Route(method: .get, path: "/sessions") { routes, call in await SessionRoutes.list(routes.server, call) },
        Route(method: .get, path: "/sessions/*") { routes, call in await SessionRoutes.detail(routes.server, call) },
        Route(method: .delete, path: "/sessions/*") { routes, call in await SessionRoutes.kick(routes.server, call) },
        Route(method: .post, path: "/kick") { routes, call in await SessionRoutes.kickUser(routes.server, call) },
        Route(method: .post, path: "/drain") { routes, _ in routes.drain() },
        Route(method: .post, path: "/reload") { routes, _ in routes.reload() },
        Route(method: .get, path: "/log-level") { routes, _ in AdminAnswer(json: LogLevelBody(routes.threshold)) },
        Route(method: .post, path: "/log-level") { routes, call in setLogLevel(routes.threshold, call) },
        Route(method: .get, path: "/events") { routes, _ in routes.feed.answer() },
    ]

    private static let paths =
        "there are /, /healthz, /readyz, /metrics, /status, /plane, /sessions, /sessions/ID, /kick, /drain, /reload, "
        + "/log-level and /events\n"

    private static func changePlane(of server: RelayServer, _ call: AdminCall) async -> AdminAnswer {
        guard let wanted = call.decoded(as: PlaneRequest.self) else {
            return AdminAnswer(.badRequest, "a body such as {\"plane\":\"io-uring\"} is needed here\n")
        }
        do throws(PlaneSupervisor.SwapError) {
            try await server.planes.swap(to: wanted.plane)
            return AdminAnswer(json: RelayStatus(server).plane)
        } catch {
            return AdminAnswer(.conflict, json: AdminProblem(error: error.description))
        }
    }

    private func drain() -> AdminAnswer {
        server.drain.begin()
        return AdminAnswer(.accepted, json: DrainAnswer(draining: true, allocations: RelayStatus(server).allocations))
    }

    /// What came of it is in the log: a line for each key, or what is wrong.
    private func reload() -> AdminAnswer {
        requestReload()
        return AdminAnswer(.accepted, json: ReloadAnswer(requested: true))
    }

    private static func setLogLevel(_ threshold: LogThreshold, _ call: AdminCall) -> AdminAnswer {
        guard let wanted = call.decoded(as: LogLevelBody.self), let level = Logger.Level(rawValue: wanted.level) else {
            return AdminAnswer(
                .badRequest,
                json: AdminProblem(
                    error: "a body such as {\"level\":\"debug\"} is needed here; accepted: "
                        + OptionKey.logLevel.accepted))
        }
        threshold.level = level
        return AdminAnswer(json: LogLevelBody(threshold))
    }
}

/// What `POST /plane` takes.
struct PlaneRequest: Codable, Sendable {
    /// `xdp`, `io-uring` or `socket`.
    let plane: String
}

/// What `POST /drain` says: how many allocations the end waits for.
struct DrainAnswer: Codable, Sendable {
    let draining: Bool
    let allocations: UInt64
}

/// What `POST /reload` says.
struct ReloadAnswer: Codable, Sendable {
    let requested: Bool
}

/// What `/log-level` says and takes.
struct LogLevelBody: Codable, Sendable {
    let level: String

    init(level: String) { self.level = level }

    init(_ threshold: LogThreshold) { level = threshold.level.rawValue }
}

/// Why something that was asked for did not happen.
struct AdminProblem: Codable, Sendable {
    let error: String
}
