import FoundationEssentials
import HTTPTypes
import NIOCore
import NIOHTTP1
import NIOPosix
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

    private static func decode<Value: Decodable>(_ answer: NIOHTTPClientResponseFull) throws(Failure) -> Value {
        let bytes = Data((answer.body ?? ByteBuffer()).readableBytesView)
        guard answer.head.status == .ok else {
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
        do {
            let answer = MultiThreadedEventLoopGroup.singleton.next().makePromise(of: NIOHTTPClientResponseFull.self)
            let channel: any Channel
            do {
                channel = try await connect(answer)
            } catch {
                answer.fail(error)
                throw Failure(description: "no relay answers at \(place): \(error). \(mend)")
            }
            try await channel.writeAndFlush(request(method, path, body))
            let received = try await answer.futureResult.get()
            try? await channel.close()
            return received
        } catch let failure as Failure {
            throw failure
        } catch {
            throw Failure(description: "the relay at \(place) did not answer: \(error)")
        }
    }

    private var mend: String {
        "Is it running, with --admin-socket or --http? Name the place with the same option here, and use the user "
            + "that it runs as."
    }

    private func connect(_ answer: EventLoopPromise<NIOHTTPClientResponseFull>) async throws -> any Channel {
        let bootstrap = ClientBootstrap(group: answer.futureResult.eventLoop).channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                let pipeline = channel.pipeline.syncOperations
                try pipeline.addHTTPClientHandlers()
                try pipeline.addHandler(NIOHTTPClientResponseAggregator(maxContentLength: Self.answerLimitBytes))
                try pipeline.addHandler(AnswerHandler(answer, patience: Self.patience))
            }
        }
        switch place {
        case .unix(let path): return try await bootstrap.connect(unixDomainSocketPath: path).get()
        case .tcp(let address, _):
            return try await bootstrap.connect(host: "\(address.ip)", port: Int(address.port)).get()
        }
    }

    private func request(_ method: HTTPMethod, _ path: String, _ body: ByteBuffer?) -> AdminRequest {
        var headers = HTTPHeaders([("Host", "localhost"), ("Connection", "close")])
        if case .tcp(_, let token?) = place { headers.add(name: "Authorization", value: "Bearer \(token)") }
        if let body {
            headers.add(name: "Content-Type", value: "application/json")
            headers.add(name: "Content-Length", value: "\(body.readableBytes)")
        }
        return AdminRequest(
            head: HTTPRequestHead(version: .http1_1, method: method, uri: path, headers: headers), body: body)
    }
}

/// A request as one message; the handler takes it apart.
private struct AdminRequest: Sendable {
    let head: HTTPRequestHead
    let body: ByteBuffer?
}

/// Sends one request, and hands over the one answer, or what kept it away.
private final class AnswerHandler: ChannelDuplexHandler {
    typealias InboundIn = NIOHTTPClientResponseFull
    typealias OutboundIn = AdminRequest
    typealias OutboundOut = HTTPClientRequestPart

    struct TimedOut: Error, CustomStringConvertible { let description = "no answer within 20 s" }
    struct ClosedEarly: Error, CustomStringConvertible { let description = "it closed the connection" }

    private let answer: EventLoopPromise<NIOHTTPClientResponseFull>
    private let patience: TimeAmount
    private var timer: Scheduled<Void>?

    init(_ answer: EventLoopPromise<NIOHTTPClientResponseFull>, patience: TimeAmount) {
        self.answer = answer
        self.patience = patience
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let answer = answer
        timer = context.eventLoop.scheduleTask(in: patience) { answer.fail(TimedOut()) }
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        let request = unwrapOutboundIn(data)
        context.write(wrapOutboundOut(.head(request.head)), promise: nil)
        if let body = request.body { context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil) }
        context.write(wrapOutboundOut(.end(nil)), promise: promise)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        timer?.cancel()
        answer.succeed(unwrapInboundIn(data))
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        timer?.cancel()
        answer.fail(error)
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        timer?.cancel()
        // Does nothing where an answer has come.
        answer.fail(ClosedEarly())
    }
}
