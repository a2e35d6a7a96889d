import STUN

/// Views for operators, each call bounded so that it fits between two turns.
extension RelayCore {
    /// How many places a part of a list looks at, and how many sessions it holds.
    static let placesPerPage: UInt32 = 256
    static let sessionsPerPage = 64
    /// How many sessions one call ends.
    static let kicksPerCall = 32

    /// One part of the list of sessions, from a place on.
    public func sessions(from place: UInt32, _ filter: SessionFilter, at moment: Moment) -> SessionPage {
        var page = SessionPage(sessions: [], next: nil)
        var index = place
        let end = min(allocations.placeCount, place &+ min(Self.placesPerPage, .max - place))
        while index < end, page.sessions.count < Self.sessionsPerPage {
            if isSession(index), fits(index, filter) { page.sessions.append(session(at: index, moment.monotonic)) }
            index += 1
        }
        page.next = index < allocations.placeCount ? index : nil
        return page
    }

    /// One session with all that hangs on it; nothing if it is gone.
    public func session(_ id: AllocationID, at moment: Moment) -> SessionDetail? {
        guard isSession(id.index), allocations.handle(at: id.index).generation == id.generation else { return nil }
        let allocation = allocations[id.index]
        return SessionDetail(
            session: session(at: id.index, moment.monotonic),
            relays: [allocation.ipv4, allocation.ipv6].compactMap { $0 }.map { view(of: $0, moment.monotonic) })
    }

    /// Ends one session: its routes, its sockets, and a note.
    /// - Returns: false if it is gone.
    public mutating func kick(_ id: AllocationID, at moment: Moment, into effects: inout Effects) -> Bool {
        guard isSession(id.index), allocations.handle(at: id.index).generation == id.generation else { return false }
        forgetRemovedRoutes()
        end(id.index, .kicked, at: moment.monotonic, into: &effects)
        return true
    }

    /// Ends sessions that fit, from a place on.
    /// - Returns: how many ended, and the place to go on from; nothing when there are no more.
    public mutating func kick(
        from place: UInt32, _ filter: SessionFilter, at moment: Moment, into effects: inout Effects
    ) -> (count: Int, next: UInt32?) {
        forgetRemovedRoutes()
        var count = 0
        var index = place
        let end = min(allocations.placeCount, place &+ min(Self.placesPerPage, .max - place))
        while index < end, count < Self.kicksPerCall {
            if isSession(index), fits(index, filter) {
                self.end(index, .kicked, at: moment.monotonic, into: &effects)
                count += 1
            }
            index += 1
        }
        return (count, index < allocations.placeCount ? index : nil)
    }

    /// An allocation that its client knows of: not one that still waits for its sockets.
    private func isSession(_ index: UInt32) -> Bool {
        allocations.isUsed(index) && allocations[index].opening == nil
    }

    private func fits(_ index: UInt32, _ filter: SessionFilter) -> Bool {
        let allocation = allocations[index]
        if let user = filter.user, allocation.identity.quotaName != user, allocation.identity.displayName != user {
            return false
        }
        if let client = filter.client, !client.contains(allocation.client) { return false }
        guard let peer = filter.peer else { return true }
        guard let relay = allocation[peer.ip.family] else { return false }
        guard let port = peer.port else {
            return permitted.find(PermissionKey(relay: relay.slot, peer: peer.ip)) != nil
        }
        return inbound.find(PeerKey(relay: relay.slot, peer: TransportAddress(peer.ip, port: port))) != nil
    }

    private func session(at index: UInt32, _ now: Instant) -> Session {
        let allocation = allocations[index]
        return Session(
            id: SessionID(worker: worker, allocations.handle(at: index)), summary: allocation.summary,
            ageSeconds: allocation.age(at: now), lifetimeSeconds: now.secondsUntil(allocation.expires),
            permissionCount: allocation.permissionCount,
            channelCount: allocation.channelCount, traffic: sessionTraffic(of: index),
            overLimit: SessionOverLimit(
                droppedCount: meters[index].droppedCount, isLimited: meters[index].isLimited(at: now)))
    }

    private func view(of relay: Allocation.Relay, _ now: Instant) -> SessionRelay {
        SessionRelay(
            local: relay.address, relayed: relay.advertised, lifetimeSeconds: now.secondsUntil(relay.expires),
            permissions: relay.permissions.prefix(SessionRelay.limit).map { index in
                SessionPermission(
                    peer: permissions[index].peer, lifetimeSeconds: now.secondsUntil(permissions[index].expires))
            },
            channels: relay.channels.prefix(SessionRelay.limit).map { index in
                let channel = channels[index]
                return SessionChannel(
                    number: channel.number, peer: channel.peer, lifetimeSeconds: now.secondsUntil(channel.expires),
                    isActive: channel.isActive, traffic: traffic[RouteID(index: index)])
            })
    }
}
