import CLinux
import Glibc
import PlaneKit
public import RelayCore
public import RelayWorker
public import STUN

extension IOUringIO {
    @inline(__always)
    public func anticipate(_ hop: Hop) { base.sockets.prefetch(Int(hop.egress.index)) }

    public mutating func forward(_ index: Int, _ hop: Hop) {
        if base.isFull { submit() }
        base.forward(index, hop)
    }

    public mutating func send(
        _ payload: RawSpan, from slot: SocketSlot, to destination: TransportAddress, dontFragment: Bool
    ) {
        if !base.hasRoom(for: payload.byteCount) { submit() }
        base.send(payload, from: slot, to: destination, dontFragment: dontFragment)
    }

    public mutating func flush() throws(PlaneError) {
        submit()
        if let failure { throw PlaneError(failure) }
    }

    /// From here on zero copy is tried; what is smaller is copied sooner than its pages are referred to.
    static var zeroCopyByteMinimum: Int { 4_096 }

    /// Hands the queue to the kernel: what a raw socket can take first. Of the rest, a descriptor that has several
    /// messages sends them by a call of its own, which costs less than a request each; those that have one send
    /// together, by one submission of the ring. With a polling thread everything is a request, or it had nothing to do.
    mutating func submit() {
        guard !base.isFlushed else { return }
        // The ring is lost, and with it what waits to be sent.
        guard failure == nil else { return base.finishSending() }
        if !features.contains(.sqpoll) { base.submitRaw() }
        for outlet in 0..<base.outletCount {
            let messages = base.stage(outlet: outlet)
            let owner = base.owner(ofOutlet: outlet)
            if goByRing(messages) {
                for message in messages { queueMessage(message, of: owner) }
            } else {
                base.transmit(messages, by: owner)
            }
        }
        settle()
        base.finishSending()
    }

    /// All messages of one descriptor or none, so that they keep their order.
    private func goByRing(_ messages: Range<Int>) -> Bool {
        if features.contains(.sqpoll) { return true }
        if messages.count == 1, base.outletCount > 1 { return true }
        guard features.contains(.zeroCopy) else { return false }
        for message in messages where zeroCopyBuffer(of: message) != nil { return true }
        return false
    }

    /// The buffer from which a message could leave without being copied.
    private func zeroCopyBuffer(of message: Int) -> Int? {
        guard features.contains(.zeroCopy) else { return nil }
        return base.soleBuffer(of: message, byteCountMinimum: Self.zeroCopyByteMinimum)
    }

    private mutating func queueMessage(_ message: Int, of owner: Int) {
        var pinned = zeroCopyBuffer(of: message)
        if let buffer = pinned, !pins.pin(buffer) { pinned = nil }
        let token = Token(sending: message, by: owner, pinning: pinned)
        while !(unsafe ring.queueMessage(file: owner, base.header(of: message), token)) {
            submitRing()
            if failure != nil { return }
        }
        sendsInFlight += 1
    }

    /// Submits what is queued and takes what has completed, until no send is in flight: one that must not wait
    /// completes at once.
    private mutating func settle() {
        guard sendsInFlight > 0 else { return }
        base.counters.sendCalls += 1
        submitRing()
        takeCompletions()
        while sendsInFlight > 0, failure == nil {
            waitForCompletions(nanoseconds: nil)
            takeCompletions()
        }
    }

    /// A zero-copy send tells first what became of the message, and then that its buffer is no longer read; only the
    /// former if the kernel refused it at once.
    mutating func finishPinning(_ completion: Completion) {
        if !completion.isNotification { finish(completion) }
        if completion.hasMore { ring.pinnedCount += 1 }
        if completion.isNotification { ring.pinnedCount -= 1 }
        if !completion.hasMore { pins.unpin(completion.token.pinnedBuffer) }
    }

    /// A message has completed: counted, or tried once more by a system call.
    mutating func finish(_ completion: Completion) {
        sendsInFlight -= 1
        // Of a lost ring: the messages of that submission are forgotten.
        guard failure == nil else { return }
        let message = completion.token.message
        let datagramCount = UInt64(base.datagramCount(of: message))
        switch completion.result {
        case 0...: base.counters.sentDatagrams += datagramCount
        case -EAGAIN: base.counters.sendQueueFull += datagramCount
        default:
            let owner = Int(completion.token.generation)
            base.transmit(message..<message + 1, by: owner, after: -completion.result)
            // The request took the error that would have told the receive.
            base.drainReports(of: owner)
        }
    }
}
