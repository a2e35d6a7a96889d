import STUN

extension RelayCore {
    /// What a client sent to a listener, channel data excepted.
    mutating func receiveFromClient(
        _ datagram: RawSpan, on slot: SocketSlot, from client: TransportAddress, at moment: Moment,
        into effects: inout Effects
    ) {
        guard let message = try? Message(parsing: datagram) else { return counters.count(.malformed) }
        if isShedding, isShed(message, on: slot, from: client, at: moment) { return counters.count(.shed) }
        guard message.hasValidFingerprint() != false else { return counters.count(.malformed) }
        switch message.messageClass {
        case .request:
            guard case .listener(let server) = slots[slot] else { return counters.count(.unexpected) }
            let exchange = Exchange(
                method: message.method, transaction: message.transactionID, client: client, listener: slot,
                server: server, moment: moment)
            answer(Request(message), exchange, into: &effects)
        case .indication where message.method == .send:
            relaySendIndication(Request(message), from: client, on: slot, at: moment.monotonic, into: &effects)
        case .indication where message.method == .binding:
            // A keepalive (RFC 8489 section 12): it has done its work on the way here.
            return
        case .indication, .successResponse, .errorResponse:
            counters.count(.unexpected)
        }
    }

    private mutating func answer(
        _ request: borrowing Request, _ exchange: Exchange, into effects: inout Effects
    ) {
        switch exchange.method {
        case .binding:
            answerBinding(request, exchange, into: &effects)
        case .allocate, .refresh, .createPermission, .channelBind:
            answerAuthenticated(request, exchange, into: &effects)
        default:
            // RFC 8489 section 6.3: a method that is not supported is not answered.
            counters.count(.unexpected)
        }
    }

    /// RFC 8489 section 12: the answer is 32 bytes for IPv4, so that nothing is gained by forging its source.
    private mutating func answerBinding(
        _ request: borrowing Request, _ exchange: Exchange, into effects: inout Effects
    ) {
        guard request.unknownCount == 0 else { return refuseUnknown(request, exchange, into: &effects) }
        guard mayAnswer(exchange) else { return }
        succeed(exchange, into: &effects) { $0.append(.xorMappedAddress, xorAddress: exchange.client) }
    }

    private mutating func answerAuthenticated(
        _ request: borrowing Request, _ exchange: Exchange, into effects: inout Effects
    ) {
        let index = clients.find(exchange.key).map { clients[$0] }
        let owner = index.map { allocations[$0].identity }
        let identity: Authenticator.Identity
        var exchange = exchange
        switch authenticator.authenticate(request, from: exchange.client, at: exchange.moment, owner: owner) {
        case .refused(let outcome): return refuse(exchange, outcome, into: &effects)
        case .accepted(let accepted, let signature):
            identity = accepted
            exchange.signature = signature
        }
        if let index, let owner, let renewed = authenticator.renewed(owner, as: identity) {
            allocations[index].identity = renewed
        }
        guard request.unknownCount == 0 else { return refuseUnknown(request, exchange, into: &effects) }
        guard !request.isMalformed else { return refuse(exchange, .badRequest, into: &effects) }

        if exchange.method == .allocate {
            return allocate(request, exchange, identity, existing: index, into: &effects)
        }
        if exchange.method == .refresh, repeatReleased(request, exchange, into: &effects) { return }
        guard let index else { return refuse(exchange, .allocationMismatch, into: &effects) }
        guard allocations[index].opening == nil else { return counters.count(.inProgress) }
        guard owner?.username == identity.username else { return refuse(exchange, .wrongCredentials, into: &effects) }
        switch exchange.method {
        case .refresh: refresh(request, exchange, index, into: &effects)
        case .createPermission: createPermission(request, exchange, index, into: &effects)
        default: bindChannel(request, exchange, index, into: &effects)
        }
    }

    /// RFC 8489 section 6.3.1: 420 lists what was not understood.
    private mutating func refuseUnknown(
        _ request: borrowing Request, _ exchange: Exchange, into effects: inout Effects
    ) {
        let unknown = request.unknown
        refuse(exchange, .unknownAttribute, into: &effects) { $0.appendUnknownAttributes(unknown) }
    }
}
