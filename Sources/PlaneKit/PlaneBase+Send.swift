import CLinux
import Glibc
public import RelayCore
import RelayWorker
public import STUN

extension PlaneBase {
    /// Whether nothing waits to be sent.
    public var isFlushed: Bool { queue.isEmpty }
    /// Whether what waits must be sent before anything can be queued.
    public var isFull: Bool { queue.isFull }

    /// Whether a datagram of the core's own can be queued.
    public func hasRoom(for byteCount: Int) -> Bool { !queue.isFull && memory.hasRoom(for: byteCount) }

    /// Queues datagram `index` of the batch; there must be room.
    public mutating func forward(_ index: Int, _ hop: Hop) {
        let datagram = presentation.datagram(index)
        var queued = QueuedDatagram()
        queued.payloadByteCount = Int(hop.payloadByteCount)
        queued.trafficClass = presentation.message(of: index).trafficClass
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
        append(queued, from: hop.egress, to: hop.destination)
    }

    /// Copies a datagram of the core's own and queues it; there must be room.
    public mutating func send(
        _ payload: RawSpan, from slot: SocketSlot, to destination: TransportAddress, dontFragment: Bool
    ) {
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

    /// How many descriptors have something to send that no raw socket took.
    public var outletCount: Int { queue.outletCount }

    /// The slot that owns the descriptor of an outlet.
    public func owner(ofOutlet index: Int) -> Int { queue.outlet(index).owner }

    /// Makes messages of what leaves by one descriptor, one for each run. A datagram that must not be fragmented is
    /// sent at once, after those before it.
    /// - Returns: the messages that are to be sent, in this order.
    public mutating func stage(outlet index: Int) -> Range<Int> {
        let outlet = queue.outlet(index)
        var first = transmitter.messageCount
        var number = outlet.firstFlow
        while number >= 0 {
            let flow = queue.flow(number)
            if !flow.isSent {
                transmitter.setName(number, to: clinux_address(flow.destination))
                stage(flow, number, by: outlet.owner, since: &first)
            }
            number = flow.next
        }
        return first..<transmitter.messageCount
    }

    private mutating func stage(_ flow: Flow, _ number: Int, by owner: Int, since first: inout Int) {
        let segmentLimit = segmentLimit(of: owner, to: flow.destination.ip)
        let version = sockets[flow.egress].version
        let address = Int(sockets[flow.egress].addressIndex)
        let source = address < 0 ? clinux_address() : addresses[address].source
        var next = flow.first
        while next >= 0 {
            let run = queue.run(from: next, segmentLimit: segmentLimit)
            let head = queue.datagram(next)
            if head.dontFragment { transmit(first..<transmitter.messageCount, by: owner) }
            let message = transmitter.messageCount
            transmitter.append(
                run, of: queue, in: memory,
                Envelope(
                    version: version, source: source, name: number, trafficClass: head.trafficClass,
                    neverFragmentV6: head.dontFragment && version == 6))
            if head.dontFragment {
                transmitAlone(message, by: owner, version: version, to: flow.destination)
                first = transmitter.messageCount
            }
            next = run.next
        }
    }

    /// The largest datagram, in bytes, that may be part of a run.
    private mutating func segmentLimit(of owner: Int, to destination: IPAddress) -> Int {
        guard offloads.segmentation else { return 0 }
        guard segmentLimits.isConcerned || sockets[owner].segmentationPause.isConcerned else {
            return SegmentLimits.none
        }
        let now = clinux_monotonic_nanoseconds()
        if sockets[owner].segmentationPause.lasts(atNanoseconds: now) { return 0 }
        return segmentLimits.limit(to: destination, atNanoseconds: now)
    }

    /// Sends messages of one outlet by a system call, in order, without waiting.
    /// - Parameter errno: with which the first of them has failed already, or 0.
    public mutating func transmit(_ messages: Range<Int>, by owner: Int, after errno: Int32 = 0) {
        guard !messages.isEmpty else { return }
        let outcome = transmitter.transmit(
            messages, by: sockets[owner].descriptor, after: errno, counting: &counters)
        if outcome.cannotSegment {
            sockets[owner].segmentationPause.begin(atNanoseconds: clinux_monotonic_nanoseconds())
        }
        if outcome.wasSegmentRefused { noteRefusedSegments(of: messages) }
        // The call may have taken the error that would have told the plane.
        if outcome.metError { drainReports(of: owner) }
    }

    private mutating func noteRefusedSegments(of messages: Range<Int>) {
        let now = clinux_monotonic_nanoseconds()
        for message in messages {
            let shape = transmitter.shape(of: message)
            guard shape.wasSegmentRefused else { continue }
            segmentLimits.lower(
                to: queue.flow(shape.flow).destination.ip, below: shape.segmentByteCount, atNanoseconds: now)
        }
    }

    /// Sends one datagram that must not be fragmented. For IPv4 there is no control message for that, so the socket's
    /// option is switched on for this one call.
    private mutating func transmitAlone(
        _ message: Int, by owner: Int, version: UInt8, to destination: TransportAddress
    ) {
        let descriptor = sockets[owner].descriptor
        if version == 4 { _ = clinux_set_option(descriptor, SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE) }
        let outcome = transmitter.transmit(message..<message + 1, by: descriptor, counting: &counters)
        if version == 4 { _ = clinux_set_option(descriptor, SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_OMIT) }
        if outcome.metError { drainReports(of: owner, tooBig: outcome.wasTooBig ? destination : nil) }
    }

    /// How many datagrams a message is, for counting.
    public func datagramCount(of message: Int) -> Int { transmitter.shape(of: message).datagramCount }

    /// The receive buffer from which the kernel can send all of a message of so many bytes or more without copying.
    public func soleBuffer(of message: Int, byteCountMinimum: Int) -> Int? {
        transmitter.soleBuffer(of: message, byteCountMinimum: byteCountMinimum, in: memory)
    }

    /// The `struct msghdr` of a message, for the kernel; it stays until ``finishSending()``.
    @unsafe public func header(of message: Int) -> UnsafeRawPointer { unsafe transmitter.header(of: message) }

    /// Forgets what was queued: all of it has left or was refused.
    public mutating func finishSending() {
        transmitter.removeAll()
        queue.removeAll()
        memory.emptyArena()
    }
}
