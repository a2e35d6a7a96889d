import STUN

extension RelayCore {
    /// RFC 8656 section 10.2: all of the peers get their permission, or none does.
    mutating func createPermission(
        _ request: borrowing Request, _ exchange: Exchange, _ index: UInt32, into effects: inout Effects
    ) {
        var peers: [TransportAddress] = []
        request.forEachPeer { peers.append(internalise($0)) }
        guard !peers.isEmpty else { return refuse(exchange, .badRequest, into: &effects) }
        for peer in peers {
            guard mayReach(peer, .anyPort, exchange, index, into: &effects) else { return }
        }
        guard hasRoom(forPermissions: peers, exchange, index, into: &effects) else { return }
        for peer in peers { permit(peer.ip, index, at: exchange.now, into: &effects) }
        succeed(exchange, into: &effects) { _ in }
    }

    /// What of a peer's address the policy looks at.
    enum PeerScope {
        /// A permission covers every port.
        case anyPort
        /// A channel and a Send indication name one.
        case exactPort
    }

    /// Whether the allocation can and may talk to `peer` (443, 403); answers if not.
    mutating func mayReach(
        _ peer: TransportAddress, _ scope: PeerScope, _ exchange: Exchange, _ index: UInt32,
        into effects: inout Effects
    ) -> Bool {
        guard allocations[index][peer.family] != nil else {
            refuse(exchange, .peerAddressFamilyMismatch, into: &effects)
            return false
        }
        guard let rule = denial(of: peer, scope) else { return true }
        effects.note(
            .peerDenied(
                client: exchange.client, username: allocations[index].identity.displayName,
                peer: externalise(peer), rule: rule))
        refuse(exchange, .forbidden, into: &effects)
        return false
    }

    /// The rule that denies a peer. Relayed addresses in use are never denied: that is how two clients of one relay meet.
    /// A permission is for an address, whatever port stands beside it (RFC 8656 section 10.2), and browsers renew it
    /// with a port that may be gone; so the port is judged only where it is used.
    func denial(of peer: TransportAddress, _ scope: PeerScope) -> String? {
        let isOwnRelay = relays.contains { $0.address.address == peer.ip && isOurs($0) }
        if isOwnRelay, scope == .anyPort || isRelayed(peer) { return nil }
        if case .denied(let rule) = configuration.peerPolicy.judge(peer.ip) { return rule.description }
        let isOwn = isOwnRelay || configuration.ownAddresses.contains(peer.ip)
        return isOwn && !configuration.peerPolicy.allowsExactly(peer.ip) ? "own-address \(peer.ip)" : nil
    }

    /// Whether new permissions for `peers` stay within the quota (486) and the rate of new peers (508), of which they are
    /// then a part; answers if not.
    mutating func hasRoom(
        forPermissions peers: [TransportAddress], _ exchange: Exchange, _ index: UInt32,
        into effects: inout Effects
    ) -> Bool {
        let (limit, rate) = (configuration.permissionsPerAllocation, configuration.newPeerRate)
        guard limit > 0 || rate.count > 0 else { return true }
        let new = Set(peers.map(\.ip)).count { permission(of: index, $0) == nil }
        guard limit == 0 || allocations[index].permissionCount + new <= limit else {
            refuse(exchange, for: .permissionsPerAllocation, of: allocations[index].identity, into: &effects)
            return false
        }
        guard rate.count > 0, new > 0 else { return true }
        guard let peersFullAt = rate.next(allocations[index].peersFullAt, new, at: exchange.now) else {
            refuse(exchange, for: .newPeerRate, of: allocations[index].identity, into: &effects)
            return false
        }
        allocations[index].peersFullAt = peersFullAt
        return true
    }

    /// The living permission of an allocation for a peer address.
    func permission(of index: UInt32, _ peer: IPAddress) -> UInt32? {
        guard let relay = allocations[index][peer.family] else { return nil }
        return permitted.find(PermissionKey(relay: relay.slot, peer: peer)).map { permitted[$0] }
    }

    /// Installs or renews a permission, and wakes or renews the channels that it carries.
    mutating func permit(_ peer: IPAddress, _ index: UInt32, at now: Instant, into effects: inout Effects) {
        let expires = now.advanced(bySeconds: RFC8656.permissionSeconds)
        if let existing = permission(of: index, peer) {
            permissions[existing].expires = expires
        } else {
            installPermission(peer, index, until: expires)
        }
        for channel in allocations[index][peer.family]?.channels ?? []
        where channels[channel].peer.ip == peer && now < channels[channel].expires {
            activate(channel, into: &effects)
        }
    }

    private mutating func installPermission(_ peer: IPAddress, _ index: UInt32, until expires: Instant) {
        guard let relay = allocations[index][peer.family] else { return }
        let handle = permissions.insert(
            Permission(allocation: index, relay: relay.slot, peer: peer, expires: expires))
        guard permitted.insert(PermissionKey(relay: relay.slot, peer: peer), handle.index) else {
            preconditionFailure("a second permission for one peer")
        }
        allocations[index][peer.family]?.permissions.append(handle.index)
        counters.permissions += 1
        timers.schedule(
            TimerToken.permission(handle).rawValue, at: expires)
    }
}
