import CLinux
import Glibc
import PlaneKit
import RelayCore
import RelayWorker

extension IOUringIO {
    /// Buffers that listeners may fill while relay sockets wait too.
    private static var listenerShare: Int { Receiver.count / 2 }
    /// Buffers that one relay socket may fill while others wait.
    private static var relayShare: Int { 16 }

    /// Sees to the sockets that have no receive in flight: reads those that are busy, listeners first, then relay sockets
    /// in turn, each kind with a share; begins a receive on the others. Nothing may wait to be presented, or datagrams of
    /// one socket would overtake each other.
    mutating func attend() {
        batch.removeAll()
        watchWakeDescriptor()
        var filled = 0
        for _ in 0..<base.sockets.listeners.count {
            let share = base.sockets.relays.isEmpty ? Receiver.count : Self.listenerShare
            guard filled < share else { break }
            filled += attend(to: base.sockets.nextListener(), at: filled, limit: share - filled)
        }
        for _ in 0..<base.sockets.relays.count {
            let free = Receiver.count - filled
            guard free > 0 else { break }
            let limit = base.sockets.relays.count > 1 ? min(free, Self.relayShare) : free
            filled += attend(to: base.sockets.nextRelay(), at: filled, limit: limit)
        }
    }

    private mutating func watchWakeDescriptor() {
        guard !isWatchingWake, wakeDescriptor >= 0 else { return }
        isWatchingWake = true
        let descriptor = wakeDescriptor
        enqueue { $0.queueWatch(descriptor, Token(.wake)) }
    }

    /// Reads one socket, which waits for its next turn then; one that has nothing left is received from by the ring again.
    /// - Returns: how many buffers it filled.
    private mutating func attend(to slot: Int, at first: Int, limit: Int) -> Int {
        let count = watches[slot].isBusy ? read(slot, at: first, limit: limit) : 0
        watches[slot].isBusy = count > 0
        if count > 0 { base.sockets.enlist(slot) } else { arm(slot) }
        return count
    }

    private mutating func arm(_ slot: Int) {
        let token = watches.token(of: slot)
        let group = base.sockets[slot].isListener ? BufferGroup.listeners : .relays
        enqueue { $0.queueReceive(file: slot, group: group, token) }
        watches[slot].isArmed = true
    }

    private mutating func read(_ slot: Int, at first: Int, limit: Int) -> Int {
        let descriptor = base.sockets[slot].descriptor
        base.counters.receiveCalls += 1
        var result = receiver.receive(from: descriptor, at: first, limit: limit)
        if result < 0, result != -Int(EAGAIN) {
            // A signal, or a pending ICMP error, which is gone now that it failed a call.
            base.drainReports(of: slot)
            base.counters.receiveCalls += 1
            result = receiver.receive(from: descriptor, at: first, limit: limit)
        }
        guard result > 0 else { return 0 }
        for index in first..<first + result {
            let received = receiver.message(index)
            base.take(
                Inbox.bufferCount + index, from: received.source, received.arrival, byteCount: received.byteCount,
                isTruncated: received.isTruncated, on: slot)
            batch.append()
        }
        return result
    }
}
