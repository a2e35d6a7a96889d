import FoundationEssentials
import HTTPTypes
import NIOCore
import NIOHTTP1
import STUN

/// How `relayd status` and its like reach a running relay: one request over its unix socket, or over HTTP.
struct AdminClient {
    enum Place: CustomStringConvertible {
        case unix(path: String)
        case tcp(TransportAddress, token: String?)

        var description: String {
            switch self {
            case .unix(let path): path
            case .tcp(let address, _): "http://\(address)"
            }
        }
    }

    /// What went wrong, and what to do about it.
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    private static let patience = TimeAmount.seconds(20)
    private static let answerLimitBytes = 64 << 20

    let place: Place

    func get<Value: Decodable>(_ path: String, as type: Value.Type) async throws(Failure) -> Value {
        try Self.decode(try await send(.GET, path, nil))
    }

    func post<Value: Decodable>(
        _ path: String, _ body: some Encodable, as type: Value.Type
    ) async throws(Failure) -> Value {
        guard let data = try? JSONEncoder().encode(body) else { preconditionFailure("a request that is no JSON") }
        return try Self.decode(try await send(.POST, path, ByteBuffer(bytes: data)))
    }

    func delete<Value: Decodable>(_ path: String, as type: Value.Type) async throws(Failure) -> Value {
        try Self.decode(try await send(.DELETE, path, nil))
    }

    private static func decode<Value: Decodable>(_ answer: NIOHTTPClientResponseFull) throws(Failure) -> Value {
        let bytes = Data((answer.body ?? ByteBuffer()).readableBytesView)
        guard answer.head.status == .ok || answer.head.status == .accepted else {
            let problem = try? JSONDecoder().decode(AdminProblem.self, from: bytes)
            throw Failure(description: problem?.error ?? String(decoding: bytes, as: UTF8.self))
        }
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        do {
            return try decoder.decode(Value.self, from: bytes)
        } catch {
            throw Failure(description: "the answer is not understood: \(error). Is it a relayd of this version?")
        }
    }

    // MARK: One request

    private func send(
        _ method: HTTPMethod, _ path: String, _ body: ByteBuffer?
    ) async throws(Failure) -> NIOHTTPClientResponseFull {
        let exchange = HTTPExchange(
            to: destination, patience: Self.patience, answerLimitBytes: Self.answerLimitBytes)
        do throws(HTTPExchange.Failure) {
            return try await exchange.send(method, path, headers(method), body)
        } catch {
            switch error {
            case .unreachable(let reason):
                throw Failure(description: "no relay answers at \(place): \(reason). \(mend)")
            case .unanswered(let reason):
                throw Failure(description: "the relay at \(place) did not answer: \(reason)")
            }
        }
    }

    private var mend: String {
        "Is it running, with --admin-socket or --http? Name the place with the same option here, and use the user "
            + "that it runs as."
    }

    private var destination: HTTPExchange.Destination {
        switch place {
        case .unix(let path): .unix(path: path)
        case .tcp(let address, _): .tcp(host: "\(address.ip)", port: Int(address.port))
        }
    }

    private func headers(_ method: HTTPMethod) -> HTTPHeaders {
        var headers = HTTPHeaders([("Host", "localhost"), ("Connection", "close")])
        if case .tcp(_, let token?) = place { headers.add(name: "Authorization", value: "Bearer \(token)") }
        if method != .GET { headers.add(name: "Content-Type", value: "application/json") }
        return headers
    }
}
