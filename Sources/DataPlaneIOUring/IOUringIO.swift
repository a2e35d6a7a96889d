import CIOUring
import CLinux
public import RelayCore
public import RelayWorker
import STUN

/// Datagrams in and out by one io_uring: a multishot receive on every socket, sends submitted in batches.
///
/// It belongs to the thread that makes it: the kernel lets no other one submit.
public struct IOUringIO: DatagramIO, ~Copyable {
    public internal(set) var counters = PlaneCounters()

    let usesReceiveOffload: Bool
    var usesSegmentation: Bool
    // The ring before the memory: it goes first, and only then may the kernel's buffers go.
    var ring: Ring
    var memory: PacketMemory
    var transmitter = Transmitter()
    var inbox = Inbox()
    var queue = SendQueue()
    var slots = SlotTable()
    var reports = ReportRing()
    /// The worker's wake-up descriptor, and whether it is watched.
    var wakeDescriptor: Int32 = -1
    var isWatchingWake = false
    /// Messages that were submitted and have not completed.
    var sendsInFlight = 0
    /// The listener that has more than the kernel gave in one go, if any has.
    var busyListener: Int?
    /// What the kernel refused in the middle of a turn, to be thrown at its end.
    var failure: RingError?

    /// An IO without sockets.
    /// - Parameter features: what the probe found.
    public init(_ features: IOUringPlane.Features) throws(PlaneError) {
        let memory = try PacketMemory()
        do throws(RingError) {
            var ring = try Ring(mode: features.isDeferred ? CIOURING_DEFER : CIOURING_COOPERATE)
            try ring.registerFiles()
            try ring.registerBuffers(of: memory)
            self.init(features, ring, memory)
        } catch {
            throw PlaneError(error)
        }
    }

    private init(_ features: IOUringPlane.Features, _ ring: consuming Ring, _ memory: consuming PacketMemory) {
        usesReceiveOffload = features.hasReceiveOffload
        usesSegmentation = features.hasSegmentationOffload
        self.ring = ring
        self.memory = memory
    }

    public mutating func attach(_ slot: SocketSlot, of sockets: borrowing SocketSet) throws(PlaneError) {
        wakeDescriptor = sockets.wakeDescriptor
        let entry = sockets[slot]
        let index = Int(slot.index)
        var state = SlotState()
        state.isInUse = true
        state.descriptor = entry.descriptor
        state.version = entry.local.family == .ipv4 ? 4 : 6
        state.owner = index
        switch entry.role {
        case .vantage(let listener):
            state.owner = Int(listener.index)
            state.isListener = true
            state.source = clinux_address(entry.local.ip, port: 0)
        case .listener:
            state.isListener = true
        case .relay: break
        }
        if state.owner == index { try register(entry.descriptor, at: index) }
        slots.insert(state, at: index)
        if state.owner == index { slots.await(index) }
    }

    private mutating func register(_ descriptor: Int32, at index: Int) throws(PlaneError) {
        guard index < ring.fileCount else {
            throw PlaneError(
                what: "registering a socket with io_uring",
                why: "the table of \(ring.fileCount) files that was made at the start is full",
                mend: "Raise the limit of open files (ulimit -n, LimitNOFILE)")
        }
        // Set both ways: the plane that had the socket before may have left it on. A kernel without it was probed.
        let option = clinux_set_option(descriptor, SOL_UDP, UDP_GRO, usesReceiveOffload ? 1 : 0)
        guard option >= 0 || !usesReceiveOffload else {
            throw PlaneError(
                what: "UDP_GRO", why: String(systemErrorNumber: -option), mend: "Switch receive offload off")
        }
        let result = ring.setFile(index, to: descriptor)
        guard result == 0 else { throw PlaneError(RingError(step: .files, errno: -result)) }
    }

    public mutating func detach(_ slot: SocketSlot) {
        submit()
        let index = Int(slot.index)
        guard slots.contains(index) else { return }
        if slots[index].owner == index { stopReceiving(index) }
        inbox.forget(slot)
        reports.forget(slot)
        slots.remove(index)
    }

    /// Ends the receive of a socket and waits for its end: while a request holds the socket, closing it frees no port.
    private mutating func stopReceiving(_ index: Int) {
        if slots[index].isArmed {
            let token = slots.token(of: index)
            enqueue { $0.queueCancel(token) }
        }
        while slots[index].isArmed || slots[index].isSwept, failure == nil {
            waitForCompletions(nanoseconds: nil)
            takeCompletions()
        }
        ring.clearFile(index)
    }

    @inline(__always)
    public func arrival(_ index: Int) -> Arrival {
        let message = inbox.message(of: index)
        return Arrival(slot: message.slot, source: message.source, destination: message.destination)
    }

    @_lifetime(borrow self)
    @inline(__always)
    public func bytes(_ index: Int) -> RawSpan {
        let datagram = inbox.datagram(index)
        return memory.span(at: datagram.offset, byteCount: datagram.byteCount)
    }

    public mutating func release(_ index: Int) {
        // The buffers of a batch go back together, at the next `receive`.
        precondition(index >= 0 && index < inbox.count)
    }

    public mutating func nextReport() -> ICMPReport? { reports.next() }

    public func now() -> Moment { SystemClock.now() }
}
