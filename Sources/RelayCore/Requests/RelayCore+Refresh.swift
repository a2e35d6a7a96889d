import STUN

extension RelayCore {
    /// RFC 8656 section 8.2. With REQUESTED-ADDRESS-FAMILY only that address of a dual allocation is meant.
    mutating func refresh(
        _ request: borrowing Request, _ exchange: Exchange, _ index: UInt32, into effects: inout Effects
    ) {
        var families = AddressFamily.allCases.filter { allocations[index][$0] != nil }
        if let requested = request.requestedFamily {
            families.removeAll { $0.rawValue != requested }
        }
        guard !families.isEmpty else { return refuse(exchange, .peerAddressFamilyMismatch, into: &effects) }
        if request.lifetimeSeconds == 0 {
            return release(families, exchange, index, into: &effects)
        }
        let lifetimeSeconds = AllocationWish.grantedLifetimeSeconds(request.lifetimeSeconds)
        let expires = exchange.now.advanced(bySeconds: lifetimeSeconds)
        for family in families { prolong(family, of: index, until: expires, at: exchange.now, into: &effects) }
        arm(index, at: expires)
        succeed(exchange, into: &effects) { $0.append(.lifetime, uint32: lifetimeSeconds) }
    }

    /// Sets when an address expires, and with it the leases of its channels.
    private mutating func prolong(
        _ family: AddressFamily, of index: UInt32, until expires: Instant, at now: Instant, into effects: inout Effects
    ) {
        guard let former = allocations[index][family]?.expires else { return }
        allocations[index][family]?.expires = expires
        for channel in allocations[index][family]?.channels ?? []
        where channels[channel].isActive && now < channels[channel].expires {
            guard let until = lease(of: channel, within: expires), until != lease(of: channel, within: former) else {
                continue
            }
            effects.append(.route(.renew(RouteID(index: channel), until: until)))
        }
    }

    private mutating func release(
        _ families: [AddressFamily], _ exchange: Exchange, _ index: UInt32, into effects: inout Effects
    ) {
        let range = succeed(exchange, into: &effects) { $0.append(.lifetime, uint32: 0) }
        if let range {
            released.remember(exchange, answer: effects.bytes(range).copyBytes())
        }
        close(families, of: index, .released, at: exchange.now, into: &effects)
    }

    /// A retransmitted release finds its allocation gone, or worse, a new one in its place: it gets its answer again.
    mutating func repeatReleased(
        _ request: borrowing Request, _ exchange: Exchange, into effects: inout Effects
    ) -> Bool {
        guard request.lifetimeSeconds == 0, let answer = released.answer(to: exchange) else { return false }
        repeatAnswer(answer, exchange, into: &effects)
        return true
    }
}

/// The answers to the latest releases, for retransmissions: a ring of bounded size and age.
struct ReleasedAnswers {
    private struct Entry {
        let key: ClientKey
        let transaction: TransactionID
        let signingKey: IntegrityKey?
        let answer: [UInt8]
        let forgottenAt: Instant
    }

    /// A client gives up on a transaction after 39.5 s (RFC 8489 section 6.2.1).
    private static let rememberedSeconds: UInt32 = 40
    private static let limit = 256
    private var entries: [Entry] = []
    private var next = 0

    mutating func remember(_ exchange: Exchange, answer: [UInt8]) {
        let entry = Entry(
            key: exchange.key, transaction: exchange.transaction, signingKey: exchange.signature?.key, answer: answer,
            forgottenAt: exchange.now.advanced(bySeconds: Self.rememberedSeconds))
        if entries.count < Self.limit {
            entries.append(entry)
        } else {
            entries[next] = entry
            next = (next + 1) % Self.limit
        }
    }

    func answer(to exchange: Exchange) -> [UInt8]? {
        entries.first {
            $0.transaction == exchange.transaction && $0.key == exchange.key
                && $0.signingKey == exchange.signature?.key && exchange.now < $0.forgottenAt
        }?.answer
    }
}
