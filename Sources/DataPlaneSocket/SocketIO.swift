import CLinux
import PlaneKit
public import RelayCore
public import RelayWorker

/// Datagrams in and out by epoll, `recvmmsg` and `sendmmsg`, with the offloads that are on.
public struct SocketIO: DatagramIO, ~Copyable {
    var base: PlaneBase
    var receiver: Receiver
    var poller: Poller
    var batch = Batch()
    var watchesWakeDescriptor = false
    /// False once the plane is about to be left.
    var isReceiving = true
    /// Calls of `receive` since epoll was asked last.
    var turnsSincePoll = 0

    /// An IO without sockets.
    /// - Parameter features: what the probe found.
    public init(_ features: SocketPlane.Features) throws(PlaneError) {
        // In front of a payload there is room for a channel header, and the payload begins with a cache line.
        let memory = try PacketMemory(bufferCount: Receiver.count, frontByteCount: 64)
        let poller = try Poller()
        self.init(features, memory, poller)
    }

    private init(_ features: SocketPlane.Features, _ memory: consuming PacketMemory, _ poller: consuming Poller) {
        receiver = Receiver(into: memory)
        base = PlaneBase(features.offloads, memory)
        self.poller = poller
    }

    public var counters: PlaneCounters { base.counters }

    public mutating func attach(_ slot: SocketSlot, of sockets: borrowing SocketSet) throws(PlaneError) {
        if !watchesWakeDescriptor {
            try poller.add(sockets.wakeDescriptor, token: Poller.wakeToken)
            watchesWakeDescriptor = true
        }
        guard try base.attach(slot, sockets[slot]) else { return }
        do throws(PlaneError) {
            try poller.add(sockets[slot].descriptor, token: UInt64(slot.index))
        } catch {
            base.detach(slot)
            throw error
        }
    }

    public mutating func detach(_ slot: SocketSlot) {
        submit()
        let index = Int(slot.index)
        guard base.sockets.contains(index) else { return }
        let state = base.sockets[index]
        if Int(state.owner) == index { poller.remove(state.descriptor) }
        batch.forget(slot, in: &base.presentation)
        base.detach(slot)
    }

    public mutating func stopReceiving() { isReceiving = false }

    @inline(__always)
    public func arrival(_ index: Int) -> Arrival { base.arrival(index) }

    @_lifetime(borrow self)
    @inline(__always)
    public func bytes(_ index: Int) -> RawSpan { base.bytes(index) }

    public mutating func release(_ index: Int) {
        // The buffers of a batch come back together, at the next `receive`.
        precondition(index >= 0 && index < base.presentation.count)
    }

    public mutating func nextReport() -> ICMPReport? { base.reports.next() }

    public func now() -> Moment { SystemClock.now() }
}
