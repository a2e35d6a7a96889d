import CIOUring
import CLinux
import PlaneKit
public import RelayCore
public import RelayWorker

/// Datagrams in and out by one io_uring: a multishot receive on every socket that is not busy, calls on those that are,
/// a poll on those that were just emptied while others are busy; sends of many sockets by one call.
///
/// It belongs to the thread that makes it: the kernel lets no other one submit.
public struct IOUringIO: DatagramIO, ~Copyable {
    // The ring before the memory: it goes first, and only then may the kernel's buffers go. Packets that still wait in
    // the kernel then keep their pages: the memory is unmapped, and nobody else gets them before.
    var ring: Ring
    var base: PlaneBase
    var inbox = Inbox()
    /// What is read by calls, into buffers of its own.
    var receiver: Receiver
    var batch = Batch(fromBuffer: Inbox.bufferCount)
    let features: RingFeatures
    /// Buffers that sends still read from.
    var pins: Pins
    /// Whether calls filled, in the last turn, all the buffers that they may fill.
    var wasLastReadFull = false
    /// Buffers that calls might fill in the last turn.
    var readLimit = 0
    /// Of the messages that calls brought, the newest counting most.
    var averageReadByteCount = 0
    var watches = Watches()
    /// The worker's wake-up descriptor, and whether it is watched.
    var wakeDescriptor: Int32 = -1
    var isWatchingWake = false
    /// Whether the watch has said so since `receive` returned last. It tells edges, and whoever awaits something else may
    /// have taken this one.
    var wasWoken = false
    /// False once the plane is about to be left.
    var isReceiving = true
    /// Turns since the ring was entered last.
    var turnsSinceEntry = 0
    /// Messages that were submitted and have not completed.
    var sendsInFlight = 0
    /// What the kernel refused in the middle of a turn, to be thrown at its end.
    var failure: RingError?

    /// An IO without sockets.
    /// - Parameter features: what the probe found.
    public init(_ features: IOUringPlane.Features) throws(PlaneError) {
        let bankCount = features.ring.contains(.zeroCopy) ? Pins.usualBankCount : 1
        let memory = try PacketMemory(
            bufferCount: Inbox.bufferCount + bankCount * Receiver.count, frontByteCount: BufferHead.byteCount)
        do throws(RingError) {
            var ring = try Ring(mode: features.mode)
            if features.ring.contains(.napi) { try ring.pollDevices() }
            try ring.makeFiles(isRegistered: features.registersFiles)
            try ring.registerBuffers()
            self.init(features, ring, memory, bankCount: bankCount)
        } catch {
            throw PlaneError(error)
        }
    }

    private init(
        _ features: IOUringPlane.Features, _ ring: consuming Ring, _ memory: consuming PacketMemory, bankCount: Int
    ) {
        self.ring = ring
        self.features = features.ring
        pins = Pins(bankCount: bankCount)
        receiver = Receiver(into: memory, fromBuffer: Inbox.bufferCount, bankCount: bankCount)
        base = PlaneBase(features.offloads, memory)
    }

    public var counters: PlaneCounters { base.counters }

    public mutating func attach(_ slot: SocketSlot, of sockets: borrowing SocketSet) throws(PlaneError) {
        wakeDescriptor = sockets.wakeDescriptor
        let index = Int(slot.index)
        guard try base.attach(slot, sockets[slot]) else { return }
        do throws(PlaneError) {
            try register(sockets[slot].descriptor, at: index)
        } catch {
            base.detach(slot)
            throw error
        }
        watches.reserve(index)
        base.sockets.enlist(index)
    }

    private mutating func register(_ descriptor: Int32, at index: Int) throws(PlaneError) {
        guard index < ring.fileCount else {
            throw PlaneError(
                what: "registering a socket with io_uring",
                why: "the table of \(ring.fileCount) files that was made at the start is full",
                mend: "Raise the limit of open files (ulimit -n, LimitNOFILE)")
        }
        let result = ring.setFile(index, to: descriptor)
        guard result == 0 else { throw PlaneError(RingError(step: .files, errno: -result)) }
    }

    public mutating func detach(_ slot: SocketSlot) {
        submit()
        let index = Int(slot.index)
        guard base.sockets.contains(index) else { return }
        if Int(base.sockets[index].owner) == index { endRequest(index) }
        inbox.forget(slot, in: &base.presentation)
        batch.forget(slot, in: &base.presentation)
        base.detach(slot)
    }

    /// Ends what is in flight for a socket and waits for its end: while a request holds the socket, closing it frees no port.
    private mutating func endRequest(_ index: Int) {
        if let request = watches[index].request {
            let token = watches.token(of: index, request)
            enqueue { $0.queueCancel(token) }
        }
        while watches[index].request != nil, failure == nil {
            waitForCompletions(nanoseconds: nil)
            takeCompletions()
        }
        ring.clearFile(index)
        watches.renew(index)
    }

    public mutating func stopReceiving() {
        isReceiving = false
        submit()
        enqueue { $0.queueCancelOfAll() }
        // What only pins buffers may stay in a device for as long as that likes, and needs nothing of this thread.
        while ring.inFlightCount > pins.count, failure == nil {
            waitForCompletions(nanoseconds: nil)
            takeCompletions()
        }
    }

    @inline(__always)
    public func arrival(_ index: Int) -> Arrival { base.arrival(index) }

    @_lifetime(borrow self)
    @inline(__always)
    public func bytes(_ index: Int) -> RawSpan { base.bytes(index) }

    public mutating func release(_ index: Int) {
        // The buffers of a batch go back together, at the next `receive`.
        precondition(index >= 0 && index < base.presentation.count)
    }

    public mutating func nextReport() -> ICMPReport? { base.reports.next() }

    public func now() -> Moment { SystemClock.now() }
}
