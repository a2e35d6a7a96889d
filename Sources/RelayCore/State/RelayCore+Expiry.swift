import STUN

/// A sibling that this core reserved.
struct Reserved {
    let token: UInt64
    let address: TransportAddress
}

extension RelayCore {
    /// How many timers one call handles at most, so that a mass expiry does not hold up the packets.
    static let expiryBudget = 1024

    /// Ends what has run out. If more is due than one call handles, ``deadline`` stays in the past.
    public mutating func expire(at moment: Moment, into effects: inout Effects) {
        let now = moment.monotonic
        forgetRemovedRoutes()
        for _ in 0..<Self.expiryBudget {
            guard let token = timers.popDue(now) else { return }
            switch TimerToken(rawValue: token) {
            case .allocation(let handle):
                guard allocations.isLive(handle) else { continue }
                expireAllocation(handle, at: now, into: &effects)
            case .permission(let handle):
                guard permissions.isLive(handle) else { continue }
                expirePermission(handle.index, token, at: now, into: &effects)
            case .channel(let handle):
                guard channels.isLive(handle) else { continue }
                expireChannel(handle.index, token, at: now, into: &effects)
            case .reservation(let handle):
                guard reservations.isLive(handle) else { continue }
                expireReservation(handle.index, at: now, into: &effects)
            }
        }
    }

    /// Ends every living allocation: its routes, its sockets, and a note for the record.
    public mutating func retire(at moment: Moment, into effects: inout Effects) {
        forgetRemovedRoutes()
        var living: [UInt32] = []
        allocations.forEach { handle, allocation in
            if allocation.opening == nil { living.append(handle.index) }
        }
        for index in living { end(index, .stopped, at: moment.monotonic, into: &effects) }
    }

    /// Sees to it that a timer fires when the next address of an allocation lapses. A timer that fires later stays in
    /// the wheel and finds nothing to do.
    mutating func arm(_ index: UInt32, at due: Instant) {
        let isArmed = allocations[index].armed > allocations[index].created && allocations[index].armed <= due
        guard !isArmed else { return }
        allocations[index].armed = due
        timers.schedule(TimerToken.allocation(allocations.handle(at: index)).rawValue, at: due)
    }

    private mutating func expireAllocation(_ handle: PoolHandle, at now: Instant, into effects: inout Effects) {
        let index = handle.index
        // A timer of before the last shortening: the one that counts is still in the wheel.
        guard allocations[index].armed <= now else { return }
        let lapsed = AddressFamily.allCases.filter { family in
            allocations[index][family].map { $0.expires <= now } ?? false
        }
        close(lapsed, of: index, .expired, at: now, into: &effects)
        guard allocations.isLive(handle) else { return }
        allocations[index].armed = allocations[index].created
        let due = AddressFamily.allCases.compactMap { allocations[index][$0]?.expires }.min()
        if let due { arm(index, at: due) }
    }

    private mutating func expirePermission(
        _ index: UInt32, _ token: UInt64, at now: Instant, into effects: inout Effects
    ) {
        let permission = permissions[index]
        guard permission.expires <= now else { return timers.schedule(token, at: permission.expires) }
        endPermission(index, into: &effects)
    }

    /// Ends a permission of a living allocation, and lets no channel forward that hung on it.
    mutating func endPermission(_ index: UInt32, into effects: inout Effects) {
        let permission = permissions[index]
        for channel in allocations[permission.allocation][permission.peer.family]?.channels ?? []
        where channels[channel].peer.ip == permission.peer {
            deactivate(channel, into: &effects)
        }
        removePermission(index)
        allocations[permission.allocation][permission.peer.family]?.permissions.removeAll { $0 == index }
    }

    private mutating func removePermission(_ index: UInt32) {
        let permission = permissions.remove(at: index)
        permitted.remove(PermissionKey(relay: permission.relay, peer: permission.peer))
        counters.permissions -= 1
    }

    /// A channel dies twice: it stops forwarding when it lapses, and is forgotten after the cool-down.
    private mutating func expireChannel(
        _ index: UInt32, _ token: UInt64, at now: Instant, into effects: inout Effects
    ) {
        let channel = channels[index]
        if now < channel.expires { return timers.schedule(token, at: channel.expires) }
        guard channel.coolDownEnds <= now else {
            deactivate(index, into: &effects)
            return timers.schedule(token, at: channel.coolDownEnds)
        }
        removeChannel(index, into: &effects)
    }

    private mutating func expireReservation(_ index: UInt32, at now: Instant, into effects: inout Effects) {
        let reserved = reservations.remove(at: index)
        // Claimed by another worker or not, the port is no longer this core's to hold: a bind finds out who has it.
        giveBack(reserved.address)
        guard ledger.lapse(reserved.token) else { return }
        effects.append(.closeReserved(reserved.address))
    }

    /// Closes one relayed address with its channels and permissions. Routes go before the port can be reused.
    mutating func closeRelay(of index: UInt32, _ family: AddressFamily, into effects: inout Effects) {
        guard let relay = allocations[index][family] else { return }
        for channel in relay.channels { removeChannel(channel, into: &effects) }
        for permission in relay.permissions { removePermission(permission) }
        abandonRelay(of: index, family, into: &effects)
    }

    /// Closes the socket of a relayed address that has neither channels nor permissions.
    mutating func abandonRelay(of index: UInt32, _ family: AddressFamily, into effects: inout Effects) {
        guard let relay = allocations[index][family] else { return }
        allocations[index][family] = nil
        slots[relay.slot] = .unused
        markRelayed(relay.address, false)
        if relay.holdsPort { giveBack(relay.address) }
        effects.append(.closeRelay(relay.slot))
    }

    /// Closes relayed addresses of an allocation; with its last one it ends.
    mutating func close(
        _ families: [AddressFamily], of index: UInt32, _ reason: AllocationEnd, at now: Instant,
        into effects: inout Effects
    ) {
        let remain = AddressFamily.allCases.contains { allocations[index][$0] != nil && !families.contains($0) }
        guard remain else { return end(index, reason, at: now, into: &effects) }
        for family in families { closeRelay(of: index, family, into: &effects) }
    }

    /// Ends an allocation: its routes, its sockets, and a note for the record.
    mutating func end(
        _ index: UInt32, _ reason: AllocationEnd, at now: Instant, into effects: inout Effects
    ) {
        let summary = allocations[index].summary
        for family in AddressFamily.allCases { closeRelay(of: index, family, into: &effects) }
        let allocation = allocations.remove(at: index)
        clients.remove(ClientKey(client: allocation.client, listener: allocation.listener))
        attendance.exit(allocation.listener)
        ledger.dismiss(user: allocation.identity.quotaName)
        counters.allocations -= 1
        effects.note(
            .allocationEnded(
                summary, reason, takeTraffic(of: index, total: allocation.traffic),
                ageSeconds: allocation.age(at: now)))
    }

    /// Puts a port back where it came from.
    mutating func giveBack(_ address: TransportAddress) {
        guard let index = relayIndex(of: address.ip) else { return }
        relays[index].ports.giveBack(address.port)
    }

    /// A port that somebody else holds is not tried again for half a minute.
    mutating func markBusy(_ address: TransportAddress, at now: Instant) {
        guard let index = relayIndex(of: address.ip) else { return }
        relays[index].ports.markBusy(address.port, until: now.advanced(bySeconds: 30))
    }

    func relayIndex(of address: IPAddress) -> Int? {
        relays.firstIndex { $0.address.address == address }
    }
}
