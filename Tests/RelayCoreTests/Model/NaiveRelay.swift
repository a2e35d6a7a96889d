import STUN

@testable import RelayCore

/// RFC 8656 in the plainest words: dictionaries and scans, no timers, no tables.
///
/// It is told what was asked and what binds came to, and says what must have been answered. The core has one licence, the
/// timer wheel's: what ends at an instant is there before it, and gone when a tick of 256 ms has begun at or after it.
/// In between the model looks which it is; see ``Witness``.
struct NaiveRelay {
    /// What of that which may have ended has ended. Asked only where both are right.
    protocol Witness {
        func isClosed(_ relayed: TransportAddress) -> Bool
        func isGone(_ peer: IPAddress, at relayed: TransportAddress) -> Bool
        func isAsleep(_ channel: UInt16, of client: TransportAddress) -> Bool
        func isForgotten(_ channel: UInt16, of client: TransportAddress) -> Bool
    }

    struct Channel {
        /// As it stands in packets on the host.
        let peer: TransportAddress
        var expires: Instant
        var isActive = false
        /// The end of the lease that planes were told last.
        var lease: Instant
    }

    struct Relayed {
        let address: TransportAddress
        var expires: Instant
        var permissions: [IPAddress: Instant] = [:]
        var channels: [UInt16: Channel] = [:]

        /// Leases what is active for as long as binding, permission and allocation last. A binding that is over, but still
        /// active until the core's timers look, gets no more.
        mutating func lease(at now: Instant) {
            for (number, channel) in channels where channel.isActive && now < channel.expires {
                guard let permission = permissions[channel.peer.ip] else { continue }
                channels[number]?.lease = min(channel.expires, permission, expires)
            }
        }
    }

    struct Allocation {
        let user: String
        let transaction: TransactionID
        let answer: String
        var relayed: [AddressFamily: Relayed]

        func channel(_ number: UInt16) -> Channel? { relayed.values.compactMap { $0.channels[number] }.first }
    }

    struct Reservation {
        let address: TransportAddress
        let user: String
        let expires: Instant
    }

    struct Released {
        let client: TransportAddress
        let user: String
        let transaction: TransactionID
        let at: Instant
    }

    let configuration: Configuration
    var now = Relay.start
    var allocations: [TransportAddress: Allocation] = [:]
    var reservations: [UInt64: Reservation] = [:]
    /// Ports that a bind found in somebody else's hands, and until when they are left alone.
    var busy: [TransportAddress: Instant] = [:]
    var released: [Released] = []

    init(_ configuration: Configuration) { self.configuration = configuration }

    static let tickNanoseconds: UInt64 = 256_000_000

    private func isOver(_ due: Instant, orElse isSeenOver: @autoclosure () -> Bool = false) -> Bool {
        if now < due { return false }
        return now.nanoseconds / Self.tickNanoseconds * Self.tickNanoseconds >= due.nanoseconds || isSeenOver()
    }

    /// Ends what has run out, where the core's timers do.
    mutating func expire(_ witness: some Witness) {
        reservations = reservations.filter { !isOver($0.value.expires) }
        busy = busy.filter { now < $0.value }
        for (client, allocation) in allocations {
            let living = allocation.relayed
                .filter { !isOver($0.value.expires, orElse: witness.isClosed($0.value.address)) }
                .mapValues { rest(of: $0, client, witness) }
            allocations[client]?.relayed = living
            if living.isEmpty { allocations[client] = nil }
        }
    }

    /// What of a living relayed address lives on.
    private func rest(of relayed: Relayed, _ client: TransportAddress, _ witness: some Witness) -> Relayed {
        var relayed = relayed
        relayed.permissions = relayed.permissions.filter { peer, expires in
            !isOver(expires, orElse: witness.isGone(peer, at: relayed.address))
        }
        relayed.channels = relayed.channels.filter { number, channel in
            !isOver(channel.expires.advanced(bySeconds: 300), orElse: witness.isForgotten(number, of: client))
        }
        for (number, channel) in relayed.channels
        where isOver(channel.expires, orElse: witness.isAsleep(number, of: client))
            || relayed.permissions[channel.peer.ip] == nil
        {
            relayed.channels[number]?.isActive = false
        }
        return relayed
    }

    /// Every instant at which something ends.
    var dues: [Instant] {
        var dues = reservations.values.map(\.expires) + busy.values
        for relayed in allocations.values.flatMap({ $0.relayed.values }) {
            dues.append(relayed.expires)
            dues += relayed.permissions.values
            for channel in relayed.channels.values {
                dues += [channel.expires, channel.expires.advanced(bySeconds: 300)]
            }
        }
        return dues
    }
}

/// Peers.
extension NaiveRelay {
    /// The host's name for an address that the world knows by another one.
    func inside(_ address: TransportAddress) -> TransportAddress {
        let relay = configuration.relayAddresses.first { $0.external == address.ip }
        return relay.map { TransportAddress($0.address, port: address.port) } ?? address
    }

    /// The world's name for an address of the host.
    func outside(_ address: TransportAddress) -> TransportAddress {
        let relay = configuration.relayAddresses.first { $0.address == address.ip }
        return relay.map { TransportAddress($0.advertised, port: address.port) } ?? address
    }

    func isRelayAddress(_ ip: IPAddress) -> Bool { configuration.relayAddresses.contains { $0.address == ip } }

    func isRelayed(_ address: TransportAddress) -> Bool {
        allocations.values.contains { $0.relayed.values.contains { $0.address == address } }
    }

    /// 443 or 403, or nothing.
    private func refusal(_ peer: TransportAddress, anyPort: Bool, of allocation: Allocation) -> String? {
        if allocation.relayed[peer.family] == nil { return "443" }
        if isRelayAddress(peer.ip) { return anyPort || isRelayed(peer) ? nil : "403" }
        return ModelWorld.deniedPeers.contains(peer.ip) ? "403" : nil
    }

    private func hasRoom(for peers: [TransportAddress], in allocation: Allocation) -> Bool {
        var all: Set<IPAddress> = []
        for relayed in allocation.relayed.values { all.formUnion(relayed.permissions.keys) }
        let before = all.count
        all.formUnion(peers.map(\.ip))
        return all.count == before || all.count <= configuration.permissionsPerAllocation
    }
}

/// The requests on a living allocation; each gives what must be answered.
extension NaiveRelay {
    mutating func refresh(
        _ client: TransportAddress, user: String, lifetime: UInt32?, family: UInt8?, _ transaction: TransactionID
    ) -> String {
        released.removeAll { $0.at.advanced(bySeconds: 40) <= now }
        let isRepeated = released.contains {
            $0.client == client && $0.user == user && $0.transaction == transaction
        }
        if lifetime == 0, isRepeated {
            return "refresh success lifetime=0"
        }
        guard let allocation = allocations[client] else { return "refresh 437" }
        guard allocation.user == user else { return "refresh 441" }
        let families = allocation.relayed.keys.filter { family == nil || $0.rawValue == family }
        if families.isEmpty { return "refresh 443" }
        if lifetime == 0 {
            released.append(Released(client: client, user: user, transaction: transaction, at: now))
            for family in families { allocations[client]?.relayed[family] = nil }
            if allocations[client]?.relayed.isEmpty == true { allocations[client] = nil }
            return "refresh success lifetime=0"
        }
        let granted = min(max(lifetime ?? 600, 600), 3600)
        for family in families {
            allocations[client]?.relayed[family]?.expires = now.advanced(bySeconds: granted)
            allocations[client]?.relayed[family]?.lease(at: now)
        }
        return "refresh success lifetime=\(granted)"
    }

    mutating func createPermission(_ client: TransportAddress, user: String, _ named: [TransportAddress]) -> String {
        guard let allocation = allocations[client] else { return "permission 437" }
        guard allocation.user == user else { return "permission 441" }
        if named.isEmpty { return "permission 400" }
        let peers = named.map(inside)
        for peer in peers {
            if let refusal = refusal(peer, anyPort: true, of: allocation) { return "permission \(refusal)" }
        }
        guard hasRoom(for: peers, in: allocation) else { return "permission 486" }
        for peer in peers { permit(peer.ip, client) }
        return "permission success"
    }

    mutating func bindChannel(
        _ client: TransportAddress, user: String, _ number: UInt16, _ named: TransportAddress
    ) -> String {
        guard let allocation = allocations[client] else { return "channel 437" }
        guard allocation.user == user else { return "channel 441" }
        guard (0x4000...0x4FFF).contains(number), named.port != 0 else { return "channel 400" }
        let peer = inside(named)
        if let refusal = refusal(peer, anyPort: false, of: allocation) { return "channel \(refusal)" }
        let owner = allocation.relayed[peer.family]?.channels.first { $0.value.peer == peer }?.key
        let bound = allocation.channel(number)?.peer
        guard bound == nil && owner == nil || bound == peer && owner == number else { return "channel 400" }
        guard hasRoom(for: [peer], in: allocation) else { return "channel 486" }
        let expires = now.advanced(bySeconds: 600)
        if bound == nil {
            allocations[client]?.relayed[peer.family]?.channels[number] =
                Channel(peer: peer, expires: expires, lease: now)
        } else {
            allocations[client]?.relayed[peer.family]?.channels[number]?.expires = expires
        }
        permit(peer.ip, client)
        return "channel success"
    }

    private mutating func permit(_ peer: IPAddress, _ client: TransportAddress) {
        guard var relayed = allocations[client]?.relayed[peer.family] else { return }
        let expires = now.advanced(bySeconds: 300)
        relayed.permissions[peer] = expires
        for (number, channel) in relayed.channels where channel.peer.ip == peer && now < channel.expires {
            relayed.channels[number]?.isActive = true
        }
        relayed.lease(at: now)
        allocations[client]?.relayed[peer.family] = relayed
    }
}

/// Data.
extension NaiveRelay {
    /// Channel data of a client: the relayed address and the peer that it goes between.
    func outbound(_ client: TransportAddress, _ number: UInt16) -> (TransportAddress, TransportAddress)? {
        for relayed in allocations[client]?.relayed.values ?? [:].values {
            if let channel = relayed.channels[number], channel.isActive { return (relayed.address, channel.peer) }
        }
        return nil
    }

    /// A Send indication of a client: the relayed address and the peer that it goes between.
    func indicated(_ client: TransportAddress, _ named: TransportAddress) -> (TransportAddress, TransportAddress)? {
        let peer = inside(named)
        guard let relayed = allocations[client]?.relayed[peer.family], relayed.permissions[peer.ip] != nil,
            named.port != 0, !isRelayAddress(peer.ip) || isRelayed(peer)
        else { return nil }
        return (relayed.address, peer)
    }

    /// What becomes of a datagram that `peer` sends to a relayed address.
    enum Inbound: Equatable {
        case channel(UInt16, to: TransportAddress)
        case indication(to: TransportAddress)
        case dropped
    }

    func inbound(_ address: TransportAddress, from peer: TransportAddress) -> Inbound {
        for (client, allocation) in allocations {
            guard let relayed = allocation.relayed[address.family], relayed.address == address else { continue }
            if let channel = relayed.channels.first(where: { $0.value.peer == peer && $0.value.isActive }) {
                return .channel(channel.key, to: client)
            }
            return relayed.permissions[peer.ip] == nil ? .dropped : .indication(to: client)
        }
        return .dropped
    }
}
