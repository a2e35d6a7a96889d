import CLinux
public import RelayCore
public import RelayWorker
public import STUN

extension SocketIO {
    @inline(__always)
    public func anticipate(_ hop: Hop) { sockets.prefetch(Int(hop.egress.index)) }

    public mutating func forward(_ index: Int, _ hop: Hop) {
        let datagram = batch.datagram(index)
        var queued = QueuedDatagram()
        queued.payloadByteCount = Int(hop.payloadByteCount)
        queued.trafficClass = batch.message(of: index).trafficClass
        switch hop.framing {
        case .unwrap:
            precondition(4 + queued.payloadByteCount <= datagram.byteCount)
            queued.offset = datagram.offset + 4
        case .wrap(let channel):
            precondition(queued.payloadByteCount <= datagram.byteCount)
            queued.offset = datagram.offset
            queued.channel = channel.rawValue
        }
        if queue.isFull { submit() }
        append(queued, from: hop.egress, to: hop.destination)
    }

    public mutating func send(
        _ payload: RawSpan, from slot: SocketSlot, to destination: TransportAddress, dontFragment: Bool
    ) {
        precondition(payload.byteCount <= Int(UInt16.max))
        if queue.isFull || !memory.hasRoom(for: payload.byteCount) { submit() }
        var queued = QueuedDatagram()
        queued.offset = memory.copy(payload)
        queued.payloadByteCount = payload.byteCount
        queued.dontFragment = dontFragment
        append(queued, from: slot, to: destination)
    }

    private mutating func append(_ datagram: QueuedDatagram, from slot: SocketSlot, to destination: TransportAddress) {
        precondition(sockets.contains(Int(slot.index)), "sending from a socket slot that is not attached")
        let state = sockets[Int(slot.index)]
        guard (state.version == 4) == (destination.family == .ipv4) else {
            counters.sendRefused += 1
            return
        }
        queue.append(datagram, from: Int(slot.index), owner: Int(state.owner), to: destination)
    }

    public mutating func flush() throws(PlaneError) { submit() }

    /// Hands the queue to the kernel: what a raw socket can take first, then one call a descriptor, a message for each
    /// run.
    mutating func submit() {
        guard !queue.isEmpty else { return }
        submitRaw()
        for index in 0..<queue.outletCount { submit(queue.outlet(index)) }
        queue.removeAll()
        memory.emptyArena()
    }

    private mutating func submit(_ outlet: Outlet) {
        var flow = outlet.firstFlow
        while flow >= 0 {
            if !queue.flow(flow).isSent {
                transmitter.setName(flow, to: clinux_address(queue.flow(flow).destination))
                submit(flow: flow, of: outlet.owner)
            }
            flow = queue.flow(flow).next
        }
        transmit(by: outlet.owner)
    }

    private mutating func submit(flow: Int, of owner: Int) {
        let segmentLimit = usesSegmentation ? Int(sockets[owner].segmentLimit) : 0
        let egress = queue.flow(flow).egress
        let version = sockets[egress].version
        let address = Int(sockets[egress].addressIndex)
        let source = address < 0 ? clinux_address() : addresses[address].source
        var next = queue.flow(flow).first
        while next >= 0 {
            let run = queue.run(from: next, segmentLimit: segmentLimit)
            let head = queue.datagram(next)
            let envelope = Envelope(
                version: version, source: source, name: flow, trafficClass: head.trafficClass,
                neverFragmentV6: head.dontFragment && version == 6)
            if head.dontFragment {
                transmit(by: owner)
                transmitAlone(run, envelope, by: owner, to: queue.flow(flow).destination)
            } else {
                transmitter.append(run, of: queue, in: memory, envelope)
            }
            next = run.next
        }
    }

    private mutating func transmit(by owner: Int) {
        guard transmitter.messageCount > 0 else { return }
        let outcome = transmitter.transmit(by: sockets[owner].descriptor, counting: &counters)
        if outcome.cannotSegment { usesSegmentation = false }
        if let size = outcome.refusedSegmentByteCount {
            sockets[owner].segmentLimit = min(sockets[owner].segmentLimit, UInt16(size - 1))
        }
    }

    /// Sends one datagram that must not be fragmented. For IPv4 there is no control message for that, so the socket's
    /// option is switched on for this one call.
    private mutating func transmitAlone(
        _ run: Run, _ envelope: Envelope, by owner: Int, to destination: TransportAddress
    ) {
        let descriptor = sockets[owner].descriptor
        transmitter.append(run, of: queue, in: memory, envelope)
        if envelope.version == 4 {
            _ = clinux_set_option(descriptor, SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE)
        }
        let outcome = transmitter.transmit(by: descriptor, counting: &counters)
        if envelope.version == 4 {
            _ = clinux_set_option(descriptor, SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_OMIT)
        }
        guard outcome.wasTooBig else { return }
        reports.drain(
            descriptor, of: SocketSlot(index: UInt32(owner)), isRelay: !sockets[owner].isListener, tooBig: destination)
    }
}
