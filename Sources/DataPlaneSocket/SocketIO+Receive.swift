import CLinux
import PlaneKit
public import RelayCore
public import RelayWorker

extension SocketIO {
    /// How many turns ready sockets may be served before epoll is asked for others.
    private static var pollInterval: Int { 8 }
    /// Buffers of a turn that listeners may fill while relay sockets wait too.
    private static var listenerShare: Int { Receiver.count / 2 }
    /// Buffers of a turn that one relay socket may fill while others wait.
    private static var relayShare: Int { 16 }

    public var batchLimit: Int { Presentation.capacity }

    public mutating func receive(until deadline: Instant?) throws(PlaneError) -> Int {
        submit()
        base.presentation.removeAll()
        batch.present(in: &base.presentation)
        guard base.presentation.count == 0 else { return base.presentation.count }
        batch.removeAll()
        guard isReceiving else { return 0 }
        turnsSincePoll += 1
        if base.sockets.relays.isEmpty || turnsSincePoll >= Self.pollInterval { try poll(until: deadline) }
        fill()
        batch.present(in: &base.presentation)
        return base.presentation.count
    }

    /// Asks epoll which sockets are ready; waits only if none is known to be and no report is left over.
    private mutating func poll(until deadline: Instant?) throws(PlaneError) {
        turnsSincePoll = 0
        let isBusy = base.sockets.hasWaiting || !base.reports.isEmpty
        let count = isBusy ? try poller.wait(nanoseconds: 0) : try poller.wait(until: deadline)
        for index in 0..<count { base.sockets.prefetch(Int(truncatingIfNeeded: poller.event(index).token)) }
        for index in 0..<count {
            let event = poller.event(index)
            guard event.token != Poller.wakeToken else { continue }
            let slot = Int(event.token)
            if event.failed { base.drainReports(of: slot) }
            if event.readable { base.sockets.enlist(slot) }
        }
    }

    /// Fills the buffers from the ready sockets: listeners first, then relay sockets in turn, each kind with a share.
    private mutating func fill() {
        var filled = 0
        for _ in 0..<base.sockets.listeners.count {
            let share = base.sockets.relays.isEmpty ? Receiver.count : Self.listenerShare
            guard filled < share else { break }
            filled += take(from: base.sockets.nextListener(), at: filled, limit: share - filled)
        }
        for _ in 0..<base.sockets.relays.count {
            let free = Receiver.count - filled
            guard free > 0 else { break }
            let limit = base.sockets.relays.count > 1 ? min(free, Self.relayShare) : free
            filled += take(from: base.sockets.nextRelay(), at: filled, limit: limit)
        }
    }

    /// Receives from one socket; one that filled its share probably has more and goes to the end of its list.
    private mutating func take(from slot: Int, at first: Int, limit: Int) -> Int {
        let descriptor = base.sockets[slot].descriptor
        base.counters.receiveCalls += 1
        var result = receiver.receive(from: descriptor, at: first, limit: limit)
        if result < 0, result != -Int(EAGAIN) {
            // A signal, or a pending ICMP error, which is gone now that it failed a call.
            base.counters.receiveCalls += 1
            result = receiver.receive(from: descriptor, at: first, limit: limit)
        }
        guard result > 0 else { return 0 }
        for index in first..<first + result { takeMessage(index, of: slot) }
        if result == limit { base.sockets.enlist(slot) }
        return result
    }

    private mutating func takeMessage(_ index: Int, of slot: Int) {
        let received = receiver.message(index)
        base.take(
            index, from: received.source, received.arrival, byteCount: received.byteCount,
            isTruncated: received.isTruncated, on: slot)
        batch.append()
    }
}
