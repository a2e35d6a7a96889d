public import STUN

extension RelayCore {
    /// Decides what becomes of one datagram: no effects, no allocation. Counts what it forwards and drops.
    ///
    /// - Parameters:
    ///   - datagram: the UDP payload.
    ///   - slot: the socket that it came in on.
    public mutating func classify(
        _ datagram: RawSpan, on slot: SocketSlot, from source: TransportAddress
    ) -> Verdict {
        guard Int(slot.index) < slots.count else { return drop(.noAllocation) }
        switch slots[Int(slot.index)] {
        case .listener: return classifyFromClient(datagram, on: slot, from: source)
        case .relay: return classifyFromPeer(datagram, on: slot, from: source)
        case .unused: return drop(.noAllocation)
        }
    }

    /// The first two bits tell STUN from channel data (RFC 8656 section 12).
    private mutating func classifyFromClient(
        _ datagram: RawSpan, on slot: SocketSlot, from client: TransportAddress
    ) -> Verdict {
        guard let header = ChannelData.parse(datagram) else {
            guard client.port != 0 else { return drop(.unanswerable) }
            return Message.looksLikeSTUN(datagram) ? .control : drop(.malformed)
        }
        guard let index = outbound.find(ChannelKey(client: client, listener: slot, channel: header.channel)) else {
            return drop(.unboundChannel)
        }
        let route = outbound[index]
        guard route.isActive else { return drop(.noPermission) }
        traffic[Int(route.channelIndex)].countToPeer(Int(header.payloadByteCount))
        counters.channelTraffic.countToPeer(Int(header.payloadByteCount))
        return .forward(
            Hop(
                egress: route.relay, destination: route.peer, framing: .unwrap,
                payloadByteCount: header.payloadByteCount))
    }

    private mutating func classifyFromPeer(
        _ datagram: RawSpan, on slot: SocketSlot, from peer: TransportAddress
    ) -> Verdict {
        guard let index = inbound.find(PeerKey(relay: slot, peer: peer)), inbound[index].isActive else {
            let isPermitted = permitted.find(PermissionKey(relay: slot, peer: peer.ip)) != nil
            return isPermitted ? .control : drop(.noPermission)
        }
        let route = inbound[index]
        let payloadByteCount = datagram.byteCount
        // A channel header says the length in 16 bits, and IPv4 carries 65,507 bytes of it at most.
        guard payloadByteCount <= 65_503 else { return drop(.malformed) }
        traffic[Int(route.channelIndex)].countToClient(payloadByteCount)
        counters.channelTraffic.countToClient(payloadByteCount)
        return .forward(
            Hop(
                egress: route.listener, destination: route.client, framing: .wrap(route.channel),
                payloadByteCount: UInt16(payloadByteCount)))
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
