import CLinux
public import RelayCore
public import RelayWorker
import STUN

/// Datagrams in and out by epoll, `recvmmsg` and `sendmmsg`, with GRO and GSO where they are on.
public struct SocketIO: DatagramIO, ~Copyable {
    public internal(set) var counters = PlaneCounters()

    let usesReceiveOffload: Bool
    var usesSegmentation: Bool
    let usesRawSending: Bool
    var memory: PacketMemory
    var receiver: Receiver
    var transmitter = Transmitter()
    var poller: Poller
    var batch = Batch()
    var queue = SendQueue()
    var sockets = SocketTable()
    var addresses = LocalAddresses()
    var rawTransmitter = RawTransmitter()
    /// The flow of each datagram in the raw transmitter.
    var rawFlows = FixedBuffer(repeating: 0, count: RawTransmitter.capacity)
    var reports = ReportRing()
    var watchesWakeDescriptor = false
    /// Calls of `receive` since epoll was asked last.
    var turnsSincePoll = 0

    /// An IO without sockets.
    /// - Parameter features: what the probe found.
    public init(_ features: SocketPlane.Features) throws(PlaneError) {
        let memory = try PacketMemory()
        let poller = try Poller()
        self.init(features, memory, poller)
    }

    private init(_ features: SocketPlane.Features, _ memory: consuming PacketMemory, _ poller: consuming Poller) {
        usesReceiveOffload = features.hasReceiveOffload
        usesSegmentation = features.hasSegmentationOffload
        usesRawSending = features.hasRawSending
        receiver = Receiver(into: memory)
        self.memory = memory
        self.poller = poller
    }

    public mutating func attach(_ slot: SocketSlot, of sockets: borrowing SocketSet) throws(PlaneError) {
        if !watchesWakeDescriptor {
            try poller.add(sockets.wakeDescriptor, token: Poller.wakeToken)
            watchesWakeDescriptor = true
        }
        let entry = sockets[slot]
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
        case .relay: state.addressIndex = Int32(addresses.relay(entry.local.ip, usesRaw: usesRawSending))
        }
        if state.owner == Int32(slot.index) { try watch(entry.descriptor, slot) }
        self.sockets.insert(state, at: Int(slot.index))
    }

    private mutating func watch(_ descriptor: Int32, _ slot: SocketSlot) throws(PlaneError) {
        // Set both ways: the plane that had the socket before may have left it on. A kernel without it was probed.
        let result = clinux_set_option(descriptor, SOL_UDP, UDP_GRO, usesReceiveOffload ? 1 : 0)
        guard result >= 0 || !usesReceiveOffload else {
            throw PlaneError(
                what: "UDP_GRO", why: String(systemErrorNumber: -result), mend: "Switch receive offload off")
        }
        try poller.add(descriptor, token: UInt64(slot.index))
    }

    public mutating func detach(_ slot: SocketSlot) {
        submit()
        let index = Int(slot.index)
        guard sockets.contains(index) else { return }
        let state = sockets[index]
        if Int(state.owner) == index { poller.remove(state.descriptor) }
        batch.forget(slot)
        reports.forget(slot)
        sockets.remove(index)
    }

    @inline(__always)
    public func arrival(_ index: Int) -> Arrival {
        let message = batch.message(of: index)
        return Arrival(slot: message.slot, source: message.source, destination: message.destination)
    }

    @_lifetime(borrow self)
    @inline(__always)
    public func bytes(_ index: Int) -> RawSpan {
        let datagram = batch.datagram(index)
        return memory.span(at: datagram.offset, byteCount: datagram.byteCount)
    }

    public mutating func release(_ index: Int) {
        // The buffers of a batch come back together, at the next `receive`.
        precondition(index >= 0 && index < batch.count)
    }

    public mutating func nextReport() -> ICMPReport? { reports.next() }

    public func now() -> Moment { SystemClock.now() }
}
