import STUN

extension RelayCore {
    /// RFC 8656 section 12.2.
    mutating func bindChannel(
        _ request: borrowing Request, _ exchange: Exchange, _ index: UInt32, into effects: inout Effects
    ) {
        guard let rawNumber = request.channelNumber, let named = request.firstPeer, named.port != 0,
            let number = ChannelNumber(rawNumber, in: configuration.channelNumbers)
        else { return refuse(exchange, .badRequest, into: &effects) }
        let peer = internalise(named)
        guard mayReach(peer, .exactPort, exchange, index, into: &effects),
            let relay = allocations[index][peer.family]
        else { return }

        let byNumber = channel(exchange.key, number)
        let byPeer = inbound.find(PeerKey(relay: relay.slot, peer: peer)).map { inbound[$0].route.index }
        // Neither the number nor the peer may belong to somebody else, not even in the cool-down.
        guard byNumber == byPeer else { return refuse(exchange, .badRequest, into: &effects) }
        guard byNumber != nil || hasRoomForChannel(exchange, index, into: &effects),
            hasRoom(forPermissions: [peer], exchange, index, into: &effects)
        else { return }

        let expires = exchange.now.advanced(bySeconds: RFC8656.channelSeconds)
        if let byNumber {
            channels[byNumber].expires = expires
        } else {
            createChannel(number, peer, relay.slot, exchange, index, until: expires)
        }
        permit(peer.ip, index, at: exchange.now, into: &effects)
        succeed(exchange, into: &effects) { _ in }
    }

    /// Whether one more channel stays within the quota (508, RFC 8656 section 12.2); answers if not.
    private mutating func hasRoomForChannel(
        _ exchange: Exchange, _ index: UInt32, into effects: inout Effects
    ) -> Bool {
        let limit = configuration.channelsPerAllocation
        guard limit > 0, allocations[index].channelCount >= limit else { return true }
        refuse(exchange, for: .channelsPerAllocation, of: allocations[index].identity, into: &effects)
        return false
    }

    private func channel(_ client: ClientKey, _ number: ChannelNumber) -> UInt32? {
        outbound.find(ChannelKey(client: client.client, listener: client.listener, channel: number.rawValue))
            .map { outbound[$0].route.index }
    }

    private mutating func createChannel(
        _ number: ChannelNumber, _ peer: TransportAddress, _ relay: SocketSlot, _ exchange: Exchange,
        _ index: UInt32, until expires: Instant
    ) {
        let handle = channels.insert(
            Channel(allocation: index, relay: relay, number: number, peer: peer, expires: expires))
        let route = RouteID(index: handle.index)
        traffic.reset(route)
        meters.assign(route, to: index)
        let isNew =
            outbound.insert(
                ChannelKey(client: exchange.client, listener: exchange.listener, channel: number.rawValue),
                OutboundRoute(peer: peer, relay: relay, route: route, isActive: false))
            && inbound.insert(
                PeerKey(relay: relay, peer: peer),
                InboundRoute(
                    client: exchange.client, listener: exchange.listener, number: number,
                    route: route, isActive: false))
        precondition(isNew, "a channel that was there already")
        allocations[index][peer.family]?.channels.append(handle.index)
        timers.schedule(
            TimerToken.channel(handle).rawValue, at: expires)
    }

    /// Makes a channel forward, or prolongs its lease. Its binding and its permission must be alive.
    mutating func activate(_ channel: UInt32, into effects: inout Effects) {
        guard let until = lease(of: channel) else { return }
        guard !channels[channel].isActive else {
            return effects.append(.route(.renew(RouteID(index: channel), until: until)))
        }
        setActive(channel, true)
        if let route = route(of: channel) { effects.append(.route(.install(route))) }
    }

    /// Stops a channel from forwarding.
    mutating func deactivate(_ channel: UInt32, into effects: inout Effects) {
        guard channels[channel].isActive else { return }
        setActive(channel, false)
        effects.append(.route(.remove(RouteID(index: channel))))
    }

    private mutating func setActive(_ channel: UInt32, _ isActive: Bool) {
        channels[channel].isActive = isActive
        if isActive { counters.channels += 1 } else { counters.channels -= 1 }
        let keys = routeKeys(of: channel)
        guard let out = outbound.find(keys.outbound), let back = inbound.find(keys.inbound) else {
            preconditionFailure("a channel without its routes")
        }
        outbound[out].isActive = isActive
        inbound[back].isActive = isActive
    }

    /// Forgets a channel; its number and its peer are free.
    mutating func removeChannel(_ channel: UInt32, into effects: inout Effects) {
        if channels[channel].isActive {
            let allocation = channels[channel].allocation
            removedRoutes[RouteID(index: channel)] = RemovedRoute(
                allocation: allocations.handle(at: allocation), user: allocations[allocation].identity.quotaName)
        }
        deactivate(channel, into: &effects)
        let keys = routeKeys(of: channel)
        outbound.remove(keys.outbound)
        inbound.remove(keys.inbound)
        let binding = channels.remove(at: channel)
        allocations[binding.allocation].traffic.add(traffic[RouteID(index: channel)])
        allocations[binding.allocation][binding.peer.family]?.channels.removeAll { $0 == channel }
    }

    private func routeKeys(of channel: UInt32) -> (outbound: ChannelKey, inbound: PeerKey) {
        let binding = channels[channel]
        let allocation = allocations[binding.allocation]
        return (
            ChannelKey(
                client: allocation.client, listener: allocation.listener, channel: binding.number.rawValue),
            PeerKey(relay: binding.relay, peer: binding.peer)
        )
    }
}
