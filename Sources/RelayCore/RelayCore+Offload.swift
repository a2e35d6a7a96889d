import STUN

/// A route that a plane has yet to give the last figures of.
struct RemovedRoute: Sendable {
    let allocation: PoolHandle
    /// The name under which its user is counted.
    let user: String
}

extension RelayCore {
    /// The channel bindings that forward now.
    public var activeRoutes: [Route] {
        var routes: [Route] = []
        channels.forEach { handle, _ in
            if let route = route(of: handle.index) { routes.append(route) }
        }
        return routes
    }

    /// A channel binding as a plane needs it; nothing if it does not forward.
    func route(of channel: UInt32) -> Route? {
        let binding = channels[channel]
        let allocation = allocations[binding.allocation]
        guard binding.isActive, let relay = allocation[binding.peer.family], let until = lease(of: channel)
        else { return nil }
        return Route(
            id: RouteID(index: channel), client: allocation.client, server: allocation.server, channel: binding.number,
            relay: relay.address, peer: binding.peer, until: until, meters: routeMeters(of: binding.allocation))
    }

    /// How long a channel may forward without another request: binding, permission and allocation must all be alive.
    func lease(of channel: UInt32) -> Instant? {
        let binding = channels[channel]
        guard let expires = allocations[binding.allocation][binding.peer.family]?.expires else { return nil }
        return lease(of: channel, within: expires)
    }

    /// The same, of an allocation that expires then.
    func lease(of channel: UInt32, within expires: Instant) -> Instant? {
        let binding = channels[channel]
        guard let permission = permission(of: binding.allocation, binding.peer.ip) else { return nil }
        return min(binding.expires, permissions[permission].expires, expires)
    }

    /// Adds what a plane forwarded by itself, to the meters too.
    /// - Parameter since: when the plane was asked before; now, if that is not known.
    /// - Returns: the traffic of a route whose allocation ended with it: it belongs to the note about that end.
    public mutating func credit(
        _ route: RouteID, _ carried: AllocationTraffic, since: Instant? = nil, at now: Instant
    ) -> AllocationTraffic? {
        counters.channelTraffic.add(carried)
        let since = since ?? now
        guard let removed = removedRoutes.removeValue(forKey: route) else {
            guard channels.isUsed(route.index) else { return nil }
            traffic[route].add(carried)
            charge(carried, to: channels[route.index].allocation, since: since, at: now)
            self.carried[channels[route.index].allocation, default: SessionTraffic()].add(carried, by: offloader)
            return nil
        }
        guard allocations.isLive(removed.allocation) else {
            ledger.charge(user: removed.user, carried, userPaces, since: since, at: now)
            return carried
        }
        allocations[removed.allocation.index].traffic.add(carried)
        charge(carried, to: removed.allocation.index, since: since, at: now)
        self.carried[removed.allocation.index, default: SessionTraffic()].add(carried, by: offloader)
        return nil
    }

    /// What a call removed is told of before the next one.
    mutating func forgetRemovedRoutes() {
        if !removedRoutes.isEmpty { removedRoutes.removeAll(keepingCapacity: true) }
    }
}
