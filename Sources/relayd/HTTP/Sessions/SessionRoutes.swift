import FoundationEssentials
import HTTPTypes
import RelayCore

/// The paths about sessions: `/sessions`, `/sessions/ID` and `/kick`.
enum SessionRoutes {
    private static let limits = 1...1000

    static func list(_ server: RelayServer, _ call: AdminCall) async -> AdminAnswer {
        var filter = SessionFilter()
        var after: SessionID?
        var limit = 100
        for (name, value) in call.query.values {
            switch name {
            case "after":
                guard let id = SessionID(value) else { return bad("after", "the id of a session, such as 0-12-3") }
                after = id
            case "limit":
                guard let number = Int(value), limits.contains(number) else {
                    return bad("limit", "a whole number from \(limits.lowerBound) to \(limits.upperBound)")
                }
                limit = number
            case "user": filter.user = value
            case "client":
                guard let endpoint = SessionFilter.Endpoint(value) else { return bad("client", endpointForm) }
                filter.client = endpoint
            case "peer":
                guard let endpoint = SessionFilter.Endpoint(value) else { return bad("peer", endpointForm) }
                filter.peer = endpoint
            default: return bad(name, "nothing: there are after, limit, user, client and peer")
            }
        }
        do throws(SessionBook.Problem) {
            return AdminAnswer(json: try await server.sessions.list(after: after, limit: limit, filter))
        } catch {
            return answer(to: error)
        }
    }

    static func detail(_ server: RelayServer, _ call: AdminCall) async -> AdminAnswer {
        guard let id = SessionID(call.argument) else { return answer(to: .unknown(call.argument)) }
        do throws(SessionBook.Problem) {
            return AdminAnswer(json: try await server.sessions.detail(id))
        } catch {
            return answer(to: error)
        }
    }

    static func kick(_ server: RelayServer, _ call: AdminCall) async -> AdminAnswer {
        guard let id = SessionID(call.argument) else { return answer(to: .unknown(call.argument)) }
        do throws(SessionBook.Problem) {
            return AdminAnswer(json: try await server.sessions.kick(id))
        } catch {
            return answer(to: error)
        }
    }

    static func kickUser(_ server: RelayServer, _ call: AdminCall) async -> AdminAnswer {
        guard let wanted = call.decoded(as: KickRequest.self) else {
            return AdminAnswer(
                .badRequest, json: AdminProblem(error: "a body such as {\"user\":\"alice\"} is needed here"))
        }
        do throws(SessionBook.Problem) {
            return AdminAnswer(json: try await server.sessions.kick(SessionFilter(user: wanted.user)))
        } catch {
            return answer(to: error)
        }
    }

    private static let endpointForm = "an address, alone or with a port: 192.0.2.1, 192.0.2.1:5000, [2001:db8::1]:5000"

    private static func bad(_ name: String, _ accepted: String) -> AdminAnswer {
        AdminAnswer(.badRequest, json: AdminProblem(error: "\(name) is not understood; accepted: \(accepted)"))
    }

    private static func answer(to problem: SessionBook.Problem) -> AdminAnswer {
        switch problem {
        case .unknown: AdminAnswer(.notFound, json: AdminProblem(error: problem.description))
        case .silent: AdminAnswer(.gatewayTimeout, json: AdminProblem(error: problem.description))
        }
    }
}
