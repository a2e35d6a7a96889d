import NIOCore
import NIOHTTP1
import NIOPosix

/// One HTTP request and its answer, over TCP, TLS or a unix socket, on a connection of its own.
struct HTTPExchange {
    enum Destination {
        case unix(path: String)
        /// A name or an address.
        case tcp(host: String, port: Int)
        case tls(host: String, port: Int, ServerTrust)
    }

    enum Failure: Error, CustomStringConvertible {
        /// There is no connection.
        case unreachable(String)
        /// There was one, and no answer came of it.
        case unanswered(String)

        var description: String {
            switch self {
            case .unreachable(let reason), .unanswered(let reason): reason
            }
        }
    }

    private let destination: Destination
    private let patience: TimeAmount
    private let answerLimitBytes: Int

    init(to destination: Destination, patience: TimeAmount, answerLimitBytes: Int) {
        self.destination = destination
        self.patience = patience
        self.answerLimitBytes = answerLimitBytes
    }

    /// - Parameter headers: all but the length of the body.
    func send(
        _ method: HTTPMethod, _ path: String, _ headers: HTTPHeaders, _ body: ByteBuffer?
    ) async throws(Failure) -> NIOHTTPClientResponseFull {
        let answer = MultiThreadedEventLoopGroup.singleton.next().makePromise(of: NIOHTTPClientResponseFull.self)
        let channel: any Channel
        do {
            channel = try await connect(answer)
        } catch {
            answer.fail(error)
            throw .unreachable("\(error)")
        }
        var headers = headers
        if let body { headers.add(name: "Content-Length", value: "\(body.readableBytes)") }
        let head = HTTPRequestHead(version: .http1_1, method: method, uri: path, headers: headers)
        // What keeps it from being written ends the connection, and so the wait for the answer, with more to say.
        channel.writeAndFlush(OutgoingRequest(head: head, body: body), promise: nil)
        do {
            let received = try await answer.futureResult.get()
            try? await channel.close()
            return received
        } catch {
            try? await channel.close()
            throw .unanswered(ServerTrust.explanation(of: error) ?? "\(error)")
        }
    }

    private func connect(_ answer: EventLoopPromise<NIOHTTPClientResponseFull>) async throws -> any Channel {
        let (destination, patience, answerLimitBytes) = (destination, patience, answerLimitBytes)
        let bootstrap = ClientBootstrap(group: answer.futureResult.eventLoop).channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                let pipeline = channel.pipeline.syncOperations
                if case .tls(_, _, let trust) = destination { try pipeline.addHandler(trust.makeHandler()) }
                try pipeline.addHTTPClientHandlers()
                try pipeline.addHandler(NIOHTTPClientResponseAggregator(maxContentLength: answerLimitBytes))
                try pipeline.addHandler(AnswerHandler(answer, patience: patience))
            }
        }
        switch destination {
        case .unix(let path): return try await bootstrap.connect(unixDomainSocketPath: path).get()
        case .tcp(let host, let port), .tls(let host, let port, _):
            return try await bootstrap.connect(host: host, port: port).get()
        }
    }
}

/// A request as one message; the handler takes it apart.
private struct OutgoingRequest: Sendable {
    let head: HTTPRequestHead
    let body: ByteBuffer?
}

/// Sends one request, and hands over the one answer, or what kept it away.
private final class AnswerHandler: ChannelDuplexHandler {
    typealias InboundIn = NIOHTTPClientResponseFull
    typealias OutboundIn = OutgoingRequest
    typealias OutboundOut = HTTPClientRequestPart

    struct TimedOut: Error, CustomStringConvertible {
        let seconds: Int64
        var description: String { "no answer within \(seconds) s" }
    }
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
        let seconds = patience.nanoseconds / 1_000_000_000
        timer = context.eventLoop.scheduleTask(in: patience) { answer.fail(TimedOut(seconds: seconds)) }
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
