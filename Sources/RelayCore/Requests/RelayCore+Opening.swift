import STUN

/// An Allocate between its request and its answer: one socket after the other, the answer when the facts are in.
extension RelayCore {
    mutating func open(
        _ wish: AllocationWish, _ family: AddressFamily, _ exchange: Exchange, _ identity: Authenticator.Identity,
        countedBy user: UserBuckets, into effects: inout Effects
    ) {
        guard let signature = exchange.signature else { preconditionFailure("an Allocate that nobody signed") }
        var opening = Opening(
            signature: signature, lifetimeSeconds: wish.lifetimeSeconds, reservesSibling: wish.evenPort == true,
            portShape: wish.evenPort.map { $0 ? .evenPairLow : .even } ?? .any)
        if family != wish.family {
            opening.missing = (wish.family, .addressFamilyNotSupported)
        } else if let additional = wish.additional {
            if hasRelay(additional) {
                opening.additional = additional
            } else {
                opening.missing = (additional, .addressFamilyNotSupported)
            }
        }
        let handle = allocations.insert(
            Allocation(
                client: exchange.client, listener: exchange.listener, server: exchange.server, identity: identity,
                created: exchange.now, opening: opening, transaction: exchange.transaction, armed: exchange.now))
        guard clients.insert(exchange.key, handle.index) else {
            preconditionFailure("a second allocation for one five-tuple")
        }
        attendance.enter(exchange.listener)
        beginMeter(handle.index, user)
        let id = AllocationID(index: handle.index, generation: handle.generation)
        if let token = wish.token {
            claim(token, id, identity, at: exchange.moment, into: &effects)
        } else {
            request(.first, family, for: id, at: exchange.moment, into: &effects)
        }
    }

    /// Takes what came of a socket that the core asked for.
    public mutating func resume(_ answer: RelayAnswer, at moment: Moment, into effects: inout Effects) {
        switch answer {
        case .opened(let request, let slot):
            guard isOpening(request.allocation) else {
                let isKeptAside = request.purpose == .reserved
                return effects.append(isKeptAside ? .closeReserved(request.address) : .closeRelay(slot))
            }
            opened(request, slot, at: moment, into: &effects)
        case .refused(let request, let refusal):
            guard isOpening(request.allocation) else { return }
            refused(request, refusal, at: moment, into: &effects)
        }
    }

    private func isOpening(_ id: AllocationID) -> Bool {
        allocations.isLive(PoolHandle(index: id.index, generation: id.generation))
            && allocations[id.index].opening != nil
    }

    /// A reserved sibling needs no binding: whoever made it bound it already.
    private mutating func claim(
        _ token: UInt64, _ id: AllocationID, _ identity: Authenticator.Identity, at moment: Moment,
        into effects: inout Effects
    ) {
        let now = moment.monotonic
        guard let reservation = ledger.claim(token, quotaName: identity.quotaName, at: now) else {
            return fail(id, at: moment, into: &effects)
        }
        effects.append(
            .openRelay(RelayRequest(allocation: id, purpose: .claimed, address: reservation.address)))
    }

    /// Asks for a socket on a free port of some relay address of the family; without one the wish fails.
    private mutating func request(
        _ purpose: RelayRequest.Purpose, _ family: AddressFamily, for id: AllocationID, at moment: Moment,
        into effects: inout Effects
    ) {
        let shape = allocations[id.index].opening?.portShape ?? .any
        let start = relays.isEmpty ? 0 : Int(entropy.next() % UInt64(relays.count))
        for offset in relays.indices {
            let index = (start + offset) % relays.count
            guard relays[index].isOffered, relays[index].address.address.family == family,
                let port = relays[index].ports.take(shape, at: moment.monotonic, using: &entropy)
            else { continue }
            let address = TransportAddress(relays[index].address.address, port: port)
            return effects.append(.openRelay(RelayRequest(allocation: id, purpose: purpose, address: address)))
        }
        effects.note(.portsExhausted(family: family))
        wishFailed(purpose, family, id, at: moment, into: &effects)
    }

    private mutating func opened(
        _ request: RelayRequest, _ slot: SocketSlot, at moment: Moment, into effects: inout Effects
    ) {
        if request.purpose == .reserved {
            reserve(request, at: moment)
        } else {
            adopt(request, slot, at: moment)
        }
        guard var opening = allocations[request.allocation.index].opening else { return }
        if opening.reservesSibling, opening.reservation == nil {
            let sibling = TransportAddress(request.address.ip, port: request.address.port + 1)
            return effects.append(
                .openRelay(RelayRequest(allocation: request.allocation, purpose: .reserved, address: sibling)))
        }
        if let additional = opening.additional {
            opening.additional = nil
            opening.attempts = 0
            allocations[request.allocation.index].opening = opening
            return self.request(.additional, additional, for: request.allocation, at: moment, into: &effects)
        }
        finish(request.allocation, at: moment, into: &effects)
    }

    /// Gives a bound socket to its allocation.
    private mutating func adopt(_ request: RelayRequest, _ slot: SocketSlot, at moment: Moment) {
        let family = request.address.family
        // Before its outside is asked for: on an address that is not offered any more it may be the only one.
        markRelayed(request.address, true)
        allocations[request.allocation.index][family] = Allocation.Relay(
            slot: slot, address: request.address, advertised: externalise(request.address),
            holdsPort: request.purpose != .claimed || holdClaimed(request.address, at: moment.monotonic),
            expires: Instant(nanoseconds: 0))
        slots[slot] = .relay(allocation: request.allocation.index, family: family)
    }

    /// A claimed port is held already if this core reserved it; else it is taken out of this core's pool, as far as
    /// the pool thought it free.
    private mutating func holdClaimed(_ address: TransportAddress, at now: Instant) -> Bool {
        var reserved: PoolHandle?
        reservations.forEach { handle, entry in if entry.address == address { reserved = handle } }
        if let reserved { return reservations.remove(reserved) != nil }
        guard let index = relayIndex(of: address.ip) else { return false }
        return relays[index].ports.takeSpecific(address.port, at: now)
    }

    /// Puts a bound sibling aside under a token of 64 random bits.
    private mutating func reserve(_ request: RelayRequest, at moment: Moment) {
        let token = entropy.next()
        let expires = moment.monotonic.advanced(bySeconds: RFC8656.reservationSeconds)
        ledger.reserve(
            token,
            RelayLedger.Reservation(
                address: request.address,
                quotaName: allocations[request.allocation.index].identity.quotaName, expires: expires))
        let handle = reservations.insert(Reserved(token: token, address: request.address))
        timers.schedule(
            TimerToken.reservation(handle).rawValue, at: expires)
        allocations[request.allocation.index].opening?.reservation = token
    }

    private mutating func refused(
        _ request: RelayRequest, _ refusal: RelayRefusal, at moment: Moment, into effects: inout Effects
    ) {
        var purpose = request.purpose
        if purpose != .claimed { letGo(request, refusal, at: moment.monotonic) }
        if purpose == .reserved {
            // The pair is no good: its first half goes back too, and another pair is tried.
            abandonRelay(of: request.allocation.index, request.address.family, into: &effects)
            purpose = .first
        }
        if case .failed(let reason) = refusal { effects.note(.relayRefused(request.address, reason: reason)) }
        let attempts = (allocations[request.allocation.index].opening?.attempts ?? 0) + 1
        allocations[request.allocation.index].opening?.attempts = attempts
        guard refusal == .addressInUse, purpose != .claimed, attempts < RFC8656.openAttempts else {
            return wishFailed(purpose, request.address.family, request.allocation, at: moment, into: &effects)
        }
        self.request(purpose, request.address.family, for: request.allocation, at: moment, into: &effects)
    }

    private mutating func letGo(_ request: RelayRequest, _ refusal: RelayRefusal, at now: Instant) {
        if refusal == .addressInUse {
            markBusy(request.address, at: now)
        } else {
            giveBack(request.address)
        }
        if request.purpose == .first, allocations[request.allocation.index].opening?.portShape == .evenPairLow {
            giveBack(TransportAddress(request.address.ip, port: request.address.port + 1))
        }
    }

    /// With one address of the two that it asked for an Allocate succeeds and says so; with none it fails.
    private mutating func wishFailed(
        _ purpose: RelayRequest.Purpose, _ family: AddressFamily, _ id: AllocationID, at moment: Moment,
        into effects: inout Effects
    ) {
        let additional = allocations[id.index].opening?.additional
        guard purpose == .additional || additional != nil else { return fail(id, at: moment, into: &effects) }
        allocations[id.index].opening?.missing = (family, .insufficientCapacity)
        guard let additional else { return finish(id, at: moment, into: &effects) }
        allocations[id.index].opening?.additional = nil
        allocations[id.index].opening?.attempts = 0
        request(.first, additional, for: id, at: moment, into: &effects)
    }

    private mutating func fail(_ id: AllocationID, at moment: Moment, into effects: inout Effects) {
        let exchange = exchange(of: id, at: moment)
        let identity = allocations[id.index].identity
        clients.remove(exchange.key)
        attendance.exit(exchange.listener)
        _ = allocations.remove(at: id.index)
        ledger.dismiss(user: identity.quotaName)
        refuse(exchange, .insufficientCapacity, into: &effects)
    }

    /// RFC 8656 section 7.2: the success response, and the life of the allocation begins.
    private mutating func finish(_ id: AllocationID, at moment: Moment, into effects: inout Effects) {
        guard let opening = allocations[id.index].opening else { return }
        let exchange = exchange(of: id, at: moment)
        let expires = exchange.now.advanced(bySeconds: opening.lifetimeSeconds)
        allocations[id.index].opening = nil
        allocations[id.index].ipv4?.expires = expires
        allocations[id.index].ipv6?.expires = expires
        arm(id.index, at: expires)
        counters.allocations += 1

        let summary = allocations[id.index].summary
        let range = succeed(exchange, into: &effects) { writer in
            for relayed in summary.relayed { writer.append(.xorRelayedAddress, xorAddress: relayed) }
            writer.append(.lifetime, uint32: opening.lifetimeSeconds)
            if let token = opening.reservation { writer.append(.reservationToken, uint64: token) }
            writer.append(.xorMappedAddress, xorAddress: exchange.client)
            if let missing = opening.missing {
                writer.appendAddressErrorCode(missing.family, missing.error)
            }
        }
        if let range { allocations[id.index].answer = effects.bytes(range).copyBytes() }
        effects.note(.allocationCreated(summary, lifetimeSeconds: opening.lifetimeSeconds))
    }

    /// The exchange that an allocation in the making will be answered in.
    private func exchange(of id: AllocationID, at moment: Moment) -> Exchange {
        let allocation = allocations[id.index]
        return Exchange(
            method: .allocate, transaction: allocation.transaction, client: allocation.client,
            listener: allocation.listener, server: allocation.server, moment: moment,
            signature: allocation.opening?.signature)
    }
}
