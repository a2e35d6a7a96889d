public import STUN

extension RelayCore {
    /// A Send indication (RFC 8656 section 11.2): relayed to a permitted peer, or dropped without a word.
    mutating func relaySendIndication(
        _ request: borrowing Request, from client: TransportAddress, on slot: SocketSlot,
        at now: Instant, into effects: inout Effects
    ) {
        let key = ClientKey(client: client, listener: slot)
        guard let index = clients.find(key).map({ clients[$0] }), allocations[index].opening == nil else {
            return counters.count(.noAllocation)
        }
        guard !request.isMalformed, request.unknownCount == 0, let named = request.firstPeer,
            named.port != 0, let data = request.data
        else { return counters.count(.badIndication) }
        let peer = internalise(named)
        guard let relay = relaySlot(of: index, peer.family) else { return counters.count(.badIndication) }
        guard permitted.find(PermissionKey(relay: relay, peer: peer.ip)) != nil else {
            return counters.count(.noPermission)
        }
        // The permission vouches for the address; of our own addresses only relayed ports are peers. A permission from
        // when an address was ours does not vouch for it afterwards.
        if relays.contains(where: { $0.address.address == peer.ip }), denial(of: peer, .exactPort) != nil {
            return counters.count(.deniedPeer)
        }
        guard passes(.toPeer, data.count, of: index, at: now) else { return }
        guard let range = effects.writer.appendDatagram(request.bytes(data)) else {
            preconditionFailure("a payload is longer than the arena")
        }
        allocations[index].traffic.countToPeer(data.count)
        counters.indicationTraffic.countToPeer(data.count)
        counters.count(.send, .success)
        effects.append(.send(range, from: relay, to: peer, dontFragment: request.dontFragment))
    }

    /// A peer's datagram without a channel (RFC 8656 section 11.3): a Data indication.
    mutating func indicateData(
        _ datagram: RawSpan, from peer: TransportAddress, to index: UInt32, _ family: AddressFamily,
        at now: Instant, into effects: inout Effects
    ) {
        guard let relay = relaySlot(of: index, family),
            permitted.find(PermissionKey(relay: relay, peer: peer.ip)) != nil
        else { return counters.count(.noPermission) }
        guard passes(.toClient, datagram.byteCount, of: index, at: now) else { return }
        let named = externalise(peer)
        let isSent = indicate(to: index, into: &effects) { writer in
            writer.append(.xorPeerAddress, xorAddress: named)
            writer.append(.data, bytes: datagram)
        }
        guard isSent else { return counters.count(.malformed) }
        allocations[index].traffic.countToClient(datagram.byteCount)
        counters.indicationTraffic.countToClient(datagram.byteCount)
    }

    /// An ICMP error for something that was sent to `peer` from a relay socket (RFC 8656 section 11.5).
    public mutating func report(
        _ error: ICMPAttribute, from peer: TransportAddress, on slot: SocketSlot, into effects: inout Effects
    ) {
        guard case .relay(let index, let family) = slots[slot], error.isForClients(family),
            permitted.find(PermissionKey(relay: slot, peer: peer.ip)) != nil
        else { return }
        let named = externalise(peer)
        let isSent = indicate(to: index, into: &effects) { writer in
            writer.append(.xorPeerAddress, xorAddress: named)
            writer.appendICMP(error)
        }
        if isSent { counters.icmpIndications += 1 }
    }

    /// Sends a Data indication to the client of an allocation; false if it is too long for a datagram.
    private mutating func indicate(
        to index: UInt32, into effects: inout Effects, _ body: (inout MessageWriter) -> Void
    ) -> Bool {
        let (client, listener) = (allocations[index].client, allocations[index].listener)
        effects.writer.begin(
            .indication, .data, TransactionID(high: UInt32(truncatingIfNeeded: entropy.next()), low: entropy.next()))
        body(&effects.writer)
        guard let range = effects.writer.finish(fingerprint: false), range.count <= 65_507 else { return false }
        effects.append(.send(range, from: listener, to: client, dontFragment: false))
        return true
    }

    private func relaySlot(of index: UInt32, _ family: AddressFamily) -> SocketSlot? {
        family == .ipv4 ? allocations[index].ipv4?.slot : allocations[index].ipv6?.slot
    }

    /// The address of a peer on this host: where a client names the outside of our own 1:1 NAT, the inside. A former
    /// outside leads there as long as allocations live that are known by it.
    func internalise(_ peer: TransportAddress) -> TransportAddress {
        let named =
            relays.first { $0.address.external == peer.ip && isOurs($0) }
            ?? relays.first { $0.formerExternals.contains(peer.ip) && relayedPorts.isInUse($0.address.address) }
        return named.map { TransportAddress($0.address.address, port: peer.port) } ?? peer
    }

    /// The address that the world knows: the outside of our own 1:1 NAT.
    func externalise(_ address: TransportAddress) -> TransportAddress {
        for relay in relays where relay.address.address == address.ip && isOurs(relay) {
            return TransportAddress(relay.address.advertised, port: address.port)
        }
        return address
    }
}

extension ICMPAttribute {
    /// The types that RFC 8656 section 11.5 passes on: unreachable and time exceeded, for IPv6 also packet too big.
    fileprivate func isForClients(_ family: AddressFamily) -> Bool {
        switch family {
        case .ipv4: type == 3 || type == 11
        case .ipv6: (1...3).contains(type)
        }
    }
}
