import STUN

extension RelayCore {
    /// RFC 8656 section 7.2, its checks in its order.
    mutating func allocate(
        _ request: borrowing Request, _ exchange: Exchange, _ identity: Authenticator.Identity,
        existing: UInt32?, into effects: inout Effects
    ) {
        if let existing { return repeatAllocate(exchange, identity, existing, into: &effects) }
        guard let transport = request.requestedTransport else { return refuse(exchange, .badRequest, into: &effects) }
        guard transport == RFC8656.udp else {
            return refuse(exchange, .unsupportedTransportProtocol, into: &effects)
        }
        if case .redirect(let ipv4, let ipv6) = admission(on: exchange.listener) {
            return redirect(exchange, to: exchange.client.family == .ipv4 ? ipv4 : ipv6, into: &effects)
        }
        let wish: AllocationWish
        switch AllocationWish.read(request) {
        case .success(let read): wish = read
        case .failure(let outcome): return refuse(exchange, outcome.outcome, into: &effects)
        }
        guard let family = supported(wish) else {
            return refuse(exchange, .addressFamilyNotSupported, into: &effects)
        }
        guard let user = admit(exchange, identity, into: &effects) else { return }
        open(wish, family, exchange, identity, countedBy: user, into: &effects)
    }

    /// The same transaction of the same user gets the same answer; any other gets 437 (RFC 8656 section 7.2).
    private mutating func repeatAllocate(
        _ exchange: Exchange, _ identity: Authenticator.Identity, _ index: UInt32, into effects: inout Effects
    ) {
        guard allocations[index].transaction == exchange.transaction,
            allocations[index].identity.username == identity.username
        else {
            return refuse(exchange, .allocationMismatch, into: &effects)
        }
        guard allocations[index].opening == nil else { return counters.count(.inProgress) }
        repeatAnswer(allocations[index].answer, exchange, into: &effects)
    }

    /// Sends an answer that was given before, to the byte.
    mutating func repeatAnswer(_ answer: [UInt8], _ exchange: Exchange, into effects: inout Effects) {
        counters.count(CountedMethod(exchange.method), .success)
        guard let range = effects.writer.appendDatagram(unsafe answer.span.bytes) else {
            preconditionFailure("an answer is longer than the arena")
        }
        effects.append(.send(range, from: exchange.listener, to: exchange.client, dontFragment: false))
    }

    private mutating func redirect(
        _ exchange: Exchange, to alternate: TransportAddress?, into effects: inout Effects
    ) {
        guard let alternate else { return refuse(exchange, .insufficientCapacity, into: &effects) }
        refuse(exchange, .tryAlternate, into: &effects) { $0.append(.alternateServer, address: alternate) }
    }

    /// The family of the first address, if the relay has it. A wish for both is served with IPv6 alone where there is
    /// no IPv4, and says so in ADDRESS-ERROR-CODE. With a token the family is that of the reserved sibling.
    private func supported(_ wish: AllocationWish) -> AddressFamily? {
        if wish.token != nil { return wish.family }
        if hasRelay(wish.family) { return wish.family }
        if let additional = wish.additional, hasRelay(additional) { return additional }
        return nil
    }

    /// The quotas, global and per worker; answers if one is reached.
    private mutating func admit(
        _ exchange: Exchange, _ identity: Authenticator.Identity, into effects: inout Effects
    ) -> UserBuckets? {
        let isFull =
            configuration.allocationsPerWorker > 0
            && allocations.count >= configuration.allocationsPerWorker
        guard !isFull else {
            refuse(exchange, .insufficientCapacity, into: &effects)
            return nil
        }
        let admittance = ledger.admit(
            user: identity.quotaName, limit: configuration.allocationsPerUser, total: configuration.allocationsTotal,
            at: exchange.now)
        switch admittance {
        case .admitted(let user): return user
        case .refused(let quota):
            refuse(exchange, for: quota, of: identity, into: &effects)
            return nil
        }
    }

    /// Tells the client and the operator that a quota is reached. 486 is about what a user may hold, 508 about what the
    /// server can carry (RFC 8656 section 19).
    mutating func refuse(
        _ exchange: Exchange, for quota: Quota, of identity: Authenticator.Identity, into effects: inout Effects
    ) {
        counters.count(quota)
        effects.note(.quotaReached(client: exchange.client, username: identity.displayName, quota: quota))
        let outcome: Outcome =
            switch quota {
            case .allocationsPerUser, .permissionsPerAllocation: .allocationQuotaReached
            case .allocationsTotal, .channelsPerAllocation, .newPeerRate: .insufficientCapacity
            }
        refuse(exchange, outcome, into: &effects)
    }
}

/// What an Allocate asks for, checked against itself.
struct AllocationWish {
    var family = AddressFamily.ipv4
    var additional: AddressFamily?
    var evenPort: Bool?
    var token: UInt64?
    var lifetimeSeconds: UInt32

    /// Why a wish cannot be read.
    struct Failure: Error {
        let outcome: Outcome
    }

    /// The combinations that RFC 8656 section 7.2 forbids are 400, an unknown family is 440.
    static func read(_ request: borrowing Request) -> Result<AllocationWish, Failure> {
        var wish = AllocationWish(lifetimeSeconds: grantedLifetimeSeconds(request.lifetimeSeconds))
        let names = (request.requestedFamily != nil, request.additionalFamily != nil)
        if request.reservationToken != nil, request.evenPort != nil || names.0 || names.1 {
            return .failure(Failure(outcome: .badRequest))
        }
        if names.0, names.1 { return .failure(Failure(outcome: .badRequest)) }
        if names.1, request.evenPort == true { return .failure(Failure(outcome: .badRequest)) }
        if let requested = request.requestedFamily {
            guard let family = AddressFamily(rawValue: requested) else {
                return .failure(Failure(outcome: .addressFamilyNotSupported))
            }
            wish.family = family
        }
        if let additional = request.additionalFamily {
            // Only IPv6 can be the additional one: IPv4 is what an Allocate asks for by itself.
            guard AddressFamily(rawValue: additional) == .ipv6 else { return .failure(Failure(outcome: .badRequest)) }
            wish.additional = .ipv6
        }
        wish.evenPort = request.evenPort
        wish.token = request.reservationToken
        return .success(wish)
    }

    /// RFC 8656 section 7.2: never below the default, never above the most.
    static func grantedLifetimeSeconds(_ requested: UInt32?) -> UInt32 {
        guard let requested else { return RFC8656.defaultLifetimeSeconds }
        return min(max(requested, RFC8656.defaultLifetimeSeconds), RFC8656.maximumLifetimeSeconds)
    }
}
