public import CLinux
public import RelayCore
public import RelayWorker
import STUN

/// What a userspace plane consists of, besides its way to wait and to receive: the sockets by slot, the bytes, the batch
/// that stands before the worker, what is queued to leave, and what there is to tell.
public struct PlaneBase: ~Copyable {
    public var counters = PlaneCounters()
    public var memory: PacketMemory
    public var sockets = SocketTable()
    public var presentation: Presentation
    public var reports = ReportRing()

    let offloads: Offloads
    var segmentLimits = SegmentLimits()
    var addresses = LocalAddresses()
    var queue = SendQueue()
    var transmitter = Transmitter()
    var rawTransmitter = RawTransmitter()
    var identifications = Identifications()
    /// The flow of each datagram in the raw transmitter.
    var rawFlows = FixedBuffer(repeating: 0, count: RawTransmitter.capacity)

    /// A base without sockets.
    /// - Parameter offloads: what the probe found.
    public init(_ offloads: Offloads, _ memory: consuming PacketMemory) {
        self.offloads = offloads
        presentation = Presentation(bufferCount: memory.bufferCount)
        self.memory = memory
    }

    /// Takes in a socket.
    /// - Returns: whether the plane is to watch its descriptor; a vantage's is its listener's.
    public mutating func attach(_ slot: SocketSlot, _ entry: SocketEntry) throws(PlaneError) -> Bool {
        var state = SocketState()
        state.isInUse = true
        state.descriptor = entry.descriptor
        state.version = entry.local.family == .ipv4 ? 4 : 6
        state.owner = Int32(slot.index)
        state.port = entry.local.port
        switch entry.role {
        case .vantage(let listener):
            state.owner = Int32(listener.index)
            state.isListener = true
            state.addressIndex = Int32(addresses.addVantage(entry.local.ip))
        case .listener:
            state.isListener = true
        case .relay:
            state.addressIndex = Int32(addresses.relay(entry.local.ip, usesRaw: offloads.rawSending))
        }
        let isOwn = state.owner == Int32(slot.index)
        if isOwn {
            try setReceiveOffload(of: entry.descriptor)
            // What an earlier plane has counted is not counted again.
            state.dropCount = clinux_drop_count(entry.descriptor)
        }
        sockets.insert(state, at: Int(slot.index))
        return isOwn
    }

    /// Set both ways: the plane that had the socket before may have left it on. A kernel without it was probed.
    private func setReceiveOffload(of descriptor: Int32) throws(PlaneError) {
        let result = clinux_set_option(descriptor, SOL_UDP, UDP_GRO, offloads.receive ? 1 : 0)
        guard result >= 0 || !offloads.receive else {
            throw PlaneError(
                what: "UDP_GRO", why: String(systemErrorNumber: -result), mend: "Leave gro out of --offloads")
        }
    }

    /// Forgets a socket. Nothing of it may be queued.
    public mutating func detach(_ slot: SocketSlot) {
        reports.forget(slot)
        sockets.remove(Int(slot.index))
    }

    /// Reads what ICMP has told a socket.
    public mutating func drainReports(of slot: Int) { drainReports(of: slot, tooBig: nil) }

    mutating func drainReports(of slot: Int, tooBig: TransportAddress?) {
        let state = sockets[slot]
        reports.drain(
            state.descriptor, of: SocketSlot(index: UInt32(slot)), isRelay: !state.isListener, tooBig: tooBig)
    }
}

extension PlaneBase {
    /// Takes note of a received buffer.
    /// - Parameter byteCount: of the payload, which stands where the memory has room for it.
    /// - Returns: whether there is anything to present.
    @discardableResult
    public mutating func take(
        _ number: Int, from source: clinux_address, _ arrival: clinux_arrival, byteCount: Int, isTruncated: Bool,
        on slot: Int
    ) -> Bool {
        var message = Message()
        message.slot = SocketSlot(index: UInt32(slot))
        message.offset = memory.payloadOffset(ofBuffer: number)
        message.byteCount = byteCount
        message.segmentByteCount = Int(arrival.segment_byte_count)
        message.trafficClass = arrival.traffic_class
        message.destination = IPAddress(arrival.destination)
        if let source = TransportAddress(source) {
            message.source = source
            message.isLive = !isTruncated
        }
        counters.receivedDatagrams += UInt64(message.datagramCount)
        if isTruncated { counters.receiveTruncated += 1 }
        if arrival.has_drop_count { countDrops(arrival.drop_count, of: slot) }
        presentation[buffer: number] = message
        return message.isLive
    }

    /// The kernel tells a running 32-bit total.
    private mutating func countDrops(_ total: UInt32, of slot: Int) {
        counters.receiveQueueDrops += UInt64(total &- sockets[slot].dropCount)
        sockets[slot].dropCount = total
    }

    @inlinable @inline(__always)
    public func arrival(_ index: Int) -> Arrival {
        let message = presentation.message(of: index)
        return Arrival(slot: message.slot, source: message.source, destination: message.destination)
    }

    @_lifetime(borrow self)
    @inlinable @inline(__always)
    public func bytes(_ index: Int) -> RawSpan {
        let datagram = presentation.datagram(index)
        return memory.span(at: datagram.offset, byteCount: datagram.byteCount)
    }
}
