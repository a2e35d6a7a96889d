import STUN

/// One request being answered: whom, on which socket, when, and with which signature.
struct Exchange {
    let method: STUN.Method
    let transaction: TransactionID
    let client: TransportAddress
    let listener: SocketSlot
    /// The local address that the client talks to.
    let server: TransportAddress
    let moment: Moment
    /// Nothing until the request is authenticated.
    var signature: Signature?

    var now: Instant { moment.monotonic }
    var key: ClientKey { ClientKey(client: client, listener: listener) }
}

extension RelayCore {
    /// Answers with success; `body` appends the attributes.
    /// - Returns: where the answer stands in the arena.
    @discardableResult
    mutating func succeed(
        _ exchange: Exchange, into effects: inout Effects, _ body: (inout MessageWriter) -> Void
    ) -> Range<Int>? {
        effects.writer.begin(.successResponse, exchange.method, exchange.transaction)
        body(&effects.writer)
        counters.count(CountedMethod(exchange.method), .success)
        return send(exchange, into: &effects)
    }

    /// Answers with the error that `outcome` stands for.
    ///
    /// Without a valid signature the answer is as small as it can be, and counts against what its source may cause.
    mutating func refuse(
        _ exchange: Exchange, _ outcome: Outcome, into effects: inout Effects,
        _ body: (inout MessageWriter) -> Void = { _ in }
    ) {
        let isAuthenticated = exchange.signature != nil
        guard isAuthenticated || mayAnswer(exchange) else { return }
        effects.writer.begin(.errorResponse, exchange.method, exchange.transaction)
        effects.writer.appendErrorCode(outcome.error, withReason: isAuthenticated)
        if outcome == .unauthenticated || outcome == .staleNonce {
            authenticator.appendChallenge(
                for: exchange.client, at: exchange.moment, entropy: &entropy, to: &effects.writer)
        }
        body(&effects.writer)
        counters.count(CountedMethod(exchange.method), outcome)
        send(exchange, into: &effects)
    }

    /// Whether the source of an unauthenticated request may cause one more answer; counts the silence if not.
    mutating func mayAnswer(_ exchange: Exchange) -> Bool {
        if unauthenticated.take(exchange.client.ip, at: exchange.now) { return true }
        counters.count(CountedMethod(exchange.method), .rateLimited)
        return false
    }

    @discardableResult
    private func send(_ exchange: Exchange, into effects: inout Effects) -> Range<Int>? {
        let range =
            if let signature = exchange.signature {
                effects.writer.finish(signedWith: signature.key, signature.kind, fingerprint: false)
            } else {
                effects.writer.finish(fingerprint: false)
            }
        guard let range else { preconditionFailure("an answer is longer than the arena") }
        effects.append(.send(range, from: exchange.listener, to: exchange.client, dontFragment: false))
        return range
    }
}

extension Outcome {
    /// The error as it stands in ERROR-CODE.
    var error: ErrorCode {
        switch self {
        case .success, .rateLimited: preconditionFailure("\(self) is no error")
        case .tryAlternate: .tryAlternate
        case .badRequest: .badRequest
        case .unauthenticated: .unauthenticated
        case .forbidden: .forbidden
        case .unknownAttribute: .unknownAttribute
        case .allocationMismatch: .allocationMismatch
        case .staleNonce: .staleNonce
        case .addressFamilyNotSupported: .addressFamilyNotSupported
        case .wrongCredentials: .wrongCredentials
        case .unsupportedTransportProtocol: .unsupportedTransportProtocol
        case .peerAddressFamilyMismatch: .peerAddressFamilyMismatch
        case .allocationQuotaReached: .allocationQuotaReached
        case .serverError: .serverError
        case .insufficientCapacity: .insufficientCapacity
        }
    }

    /// The STUN error code, or 0 for success and silence.
    public var errorCode: UInt16 {
        switch self {
        case .success, .rateLimited: 0
        default: error.code
        }
    }
}
