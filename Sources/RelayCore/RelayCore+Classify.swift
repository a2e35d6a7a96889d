public import STUN

extension RelayCore {
    /// Asks the memory for what ``classify(_:on:from:)`` will read of this datagram. For a whole batch before the first
    /// is classified: then the batch waits once, not once a datagram.
    public func anticipate(_ datagram: RawSpan, on slot: SocketSlot, from source: TransportAddress) {
        switch slots.kind(of: slot) {
        case .listener:
            guard let header = ChannelData.parse(datagram) else { return }
            outbound.prefetch(ChannelKey(client: source, listener: slot, channel: header.channel))
        case .relay: inbound.prefetch(PeerKey(relay: slot, peer: source))
        case .unused: return
        }
    }

    /// Decides what becomes of one datagram: no effects, no allocation. Counts what it drops; what it lets through has
    /// still to pass ``admit(_:at:)``, which counts it.
    ///
    /// - Parameters:
    ///   - datagram: the UDP payload.
    ///   - slot: the socket that it came in on.
    public mutating func classify(
        _ datagram: RawSpan, on slot: SocketSlot, from source: TransportAddress
    ) -> Verdict {
        switch slots.kind(of: slot) {
        case .listener: return classifyFromClient(datagram, on: slot, from: source)
        case .relay: return classifyFromPeer(datagram, on: slot, from: source)
        case .unused: return drop(.noAllocation)
        }
    }

    /// Counts a datagram that is forwarded as `hop` says.
    @inline(__always)
    mutating func countForwarded(_ hop: Hop) {
        let byteCount = Int(hop.payloadByteCount)
        switch hop.framing {
        case .unwrap:
            traffic[hop.route].countToPeer(byteCount)
            counters.channelTraffic.countToPeer(byteCount)
        case .wrap:
            traffic[hop.route].countToClient(byteCount)
            counters.channelTraffic.countToClient(byteCount)
        }
    }

    /// The first two bits tell STUN from channel data (RFC 8656 section 12).
    private mutating func classifyFromClient(
        _ datagram: RawSpan, on slot: SocketSlot, from client: TransportAddress
    ) -> Verdict {
        guard let header = ChannelData.parse(datagram) else {
            guard client.port != 0 else { return drop(.unanswerable) }
            guard Message.looksLikeSTUN(datagram) else { return drop(.malformed) }
            return isShedding && isShed(datagram, on: slot, from: client) ? drop(.shed) : .control
        }
        guard let index = outbound.find(ChannelKey(client: client, listener: slot, channel: header.channel)) else {
            return drop(.unboundChannel)
        }
        let entry = outbound[index]
        guard entry.isActive else { return drop(.noPermission) }
        anticipateCounting(entry.route)
        return .forward(
            Hop(
                egress: entry.relay, destination: entry.peer, framing: .unwrap,
                payloadByteCount: header.payloadByteCount, route: entry.route))
    }

    private mutating func classifyFromPeer(
        _ datagram: RawSpan, on slot: SocketSlot, from peer: TransportAddress
    ) -> Verdict {
        guard let index = inbound.find(PeerKey(relay: slot, peer: peer)), inbound[index].isActive else {
            let isPermitted = permitted.find(PermissionKey(relay: slot, peer: peer.ip)) != nil
            return isPermitted ? .control : drop(.noPermission)
        }
        let entry = inbound[index]
        let payloadByteCount = datagram.byteCount
        // A channel header says the length in 16 bits, and IPv4 carries 65,507 bytes of it at most.
        guard payloadByteCount <= 65_503 else { return drop(.malformed) }
        anticipateCounting(entry.route)
        return .forward(
            Hop(
                egress: entry.listener, destination: entry.client, framing: .wrap(entry.number),
                payloadByteCount: UInt16(payloadByteCount), route: entry.route))
    }

    /// Asks the memory for what ``admit(_:at:)`` will write.
    @inline(__always)
    private func anticipateCounting(_ route: RouteID) {
        traffic.prefetch(route)
        if isMetered { meters.prefetch(route) }
    }

    private mutating func drop(_ reason: DropReason) -> Verdict {
        counters.count(reason)
        return .drop
    }
}

extension AllocationTraffic {
    mutating func countToPeer(_ byteCount: Int) {
        packetsToPeers &+= 1
        bytesToPeers &+= UInt64(byteCount)
    }

    mutating func countToClient(_ byteCount: Int) {
        packetsToClient &+= 1
        bytesToClient &+= UInt64(byteCount)
    }
}
