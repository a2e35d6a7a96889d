import CLinux
import Glibc
public import RelayCore
public import RelayWorker
public import STUN

extension IOUringIO {
    @inline(__always)
    public func anticipate(_ hop: Hop) { slots.prefetch(Int(hop.egress.index)) }

    public mutating func forward(_ index: Int, _ hop: Hop) {
        let datagram = inbox.datagram(index)
        var queued = QueuedDatagram()
        queued.payloadByteCount = Int(hop.payloadByteCount)
        queued.trafficClass = inbox.message(of: index).trafficClass
        switch hop.framing {
        case .unwrap:
            precondition(4 + queued.payloadByteCount <= datagram.byteCount)
            queued.offset = datagram.offset + 4
        case .wrap(let channel):
            precondition(queued.payloadByteCount <= datagram.byteCount)
            queued.offset = datagram.offset
            if datagram.hasHeadroom {
                memory.prependChannelHeader(
                    channel.rawValue, payloadByteCount: hop.payloadByteCount, beforePayloadAt: datagram.offset)
                queued.offset -= 4
                queued.payloadByteCount += 4
            } else {
                queued.channel = channel.rawValue
            }
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
        let index = Int(slot.index)
        precondition(slots.contains(index), "sending from a socket slot that is not attached")
        guard (slots[index].version == 4) == (destination.family == .ipv4) else {
            counters.sendRefused += 1
            return
        }
        queue.append(datagram, from: index, to: destination)
    }

    public mutating func flush() throws(PlaneError) {
        submit()
        if let failure { throw PlaneError(failure) }
    }

    /// Hands the queue to the kernel, one message for each run, and waits until every one of them has completed, which a
    /// send that must not wait does at once.
    mutating func submit() {
        guard !queue.isEmpty else { return }
        for flow in 0..<queue.flowCount {
            transmitter.setName(flow, to: clinux_address(queue.flow(flow).destination))
            submit(flow: flow)
        }
        settle()
        transmitter.removeAll()
        queue.removeAll()
        memory.emptyArena()
    }

    private mutating func submit(flow: Int) {
        let egress = queue.flow(flow).egress
        let state = slots[egress]
        let segmentLimit = usesSegmentation ? slots[state.owner].segmentLimit : 0
        var next = queue.flow(flow).first
        while next >= 0 {
            let run = queue.run(from: next, segmentLimit: segmentLimit)
            let head = queue.datagram(next)
            let envelope = Envelope(
                version: state.version, source: state.source, name: flow, trafficClass: head.trafficClass,
                neverFragmentV6: head.dontFragment && state.version == 6)
            let message = transmitter.append(run, of: queue, in: memory, envelope, owner: state.owner)
            if head.dontFragment {
                settle()
                transmitAlone(message, version: state.version, to: queue.flow(flow).destination)
            } else {
                queueMessage(message)
            }
            next = run.next
        }
    }

    private mutating func queueMessage(_ message: Int) {
        let owner = transmitter.shape(of: message).owner
        while !(unsafe ring.queueMessage(
            file: owner, transmitter.header(of: message), Token(.send, number: message)))
        {
            submitRing()
            if failure != nil { return }
        }
        sendsInFlight += 1
    }

    /// Submits what is queued and takes what has completed, until no send is in flight.
    private mutating func settle() {
        guard sendsInFlight > 0 else { return }
        counters.sendCalls += 1
        sweepBusyListener()
        submitRing()
        takeCompletions()
        while sendsInFlight > 0, failure == nil {
            waitForCompletions(nanoseconds: nil)
            takeCompletions()
        }
    }

    /// A message has completed: counted, or tried once more by a system call.
    mutating func finish(_ completion: Completion) {
        sendsInFlight -= 1
        let message = completion.token.number
        let shape = transmitter.shape(of: message)
        if completion.result >= 0 {
            counters.sentDatagrams += UInt64(shape.datagramCount)
            return
        }
        let errno = -completion.result
        if errno == EAGAIN {
            counters.sendQueueFull += UInt64(shape.datagramCount)
            return
        }
        let outcome = transmitter.transmit(
            message, by: slots[shape.owner].descriptor, after: errno, counting: &counters)
        learn(from: outcome, owner: shape.owner)
        drainReports(of: shape.owner)
    }

    private mutating func learn(from outcome: SendOutcome, owner: Int) {
        if outcome.cannotSegment { usesSegmentation = false }
        if let size = outcome.refusedSegmentByteCount {
            slots[owner].segmentLimit = min(slots[owner].segmentLimit, size - 1)
        }
    }

    /// Sends one datagram that must not be fragmented. For IPv4 there is no control message for that, so the socket's
    /// option is switched on for this one call.
    private mutating func transmitAlone(_ message: Int, version: UInt8, to destination: TransportAddress) {
        let owner = transmitter.shape(of: message).owner
        let descriptor = slots[owner].descriptor
        if version == 4 { _ = clinux_set_option(descriptor, SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE) }
        let outcome = transmitter.transmit(message, by: descriptor, after: 0, counting: &counters)
        if version == 4 { _ = clinux_set_option(descriptor, SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_OMIT) }
        if outcome.wasTooBig { drainReports(of: owner, tooBig: destination) }
    }
}
