import CLinux
import Glibc
import PlaneKit
import RelayCore
import RelayWorker

extension IOUringIO {
    /// Buffers that one relay socket may fill while others wait.
    private static var relayShare: Int { 16 }
    /// Bytes that calls may bring in a turn, and buffers that they may fill in any case. What is received must still be in
    /// the cache when it is sent.
    private static var readByteLimit: Int { 128 * 1_024 }
    private static var readCountMinimum: Int { 8 }

    /// Sees to the sockets of which nothing is in flight: reads those that are busy, listeners first, then relay sockets
    /// in turn, each kind with a share; begins a receive on the others. Nothing may wait to be presented, or datagrams of
    /// one socket would overtake each other.
    mutating func attend() {
        let bank = pins.freeBank * Receiver.count
        batch.removeAll(fromBuffer: Inbox.bufferCount + bank)
        watchWakeDescriptor()
        let fitting = Self.readByteLimit / max(1, averageReadByteCount)
        let limit = max(Self.readCountMinimum, min(fitting, Receiver.count))
        readLimit = limit
        var filled = 0
        for _ in 0..<base.sockets.listeners.count {
            let share = base.sockets.relays.isEmpty ? limit : limit / 2
            guard filled < share else { break }
            filled += attend(to: base.sockets.nextListener(), at: bank + filled, limit: share - filled)
        }
        for _ in 0..<base.sockets.relays.count {
            let free = limit - filled
            guard free > 0 else { break }
            filled += attend(
                to: base.sockets.nextRelay(), at: bank + filled,
                limit: base.sockets.relays.count > 1 ? min(free, Self.relayShare) : free)
        }
        wasLastReadFull = filled == limit
    }

    private mutating func watchWakeDescriptor() {
        guard !isWatchingWake, wakeDescriptor >= 0 else { return }
        isWatchingWake = true
        let descriptor = wakeDescriptor
        enqueue { $0.queueWatch(descriptor, Token(.wake)) }
    }

    /// Reads a busy socket. It waits for its next turn then, or the ring receives from it again; while there is much to
    /// read, the ring only says when it is ready, since whatever it received would find no buffer.
    /// - Returns: how many buffers it filled.
    private mutating func attend(to slot: Int, at first: Int, limit: Int) -> Int {
        guard watches[slot].isBusy else {
            watch(slot)
            return 0
        }
        let count = read(slot, at: first, limit: limit)
        watches[slot].isBusy = count == limit || staysBusyWhenEmptied(slot, byReading: count)
        if watches[slot].isBusy { base.sockets.enlist(slot) } else { watch(slot) }
        return count
    }

    /// Whether a socket is worth another read although it gave all that it had. A listener is as long as it gives
    /// anything, since it carries the traffic of all clients, and in any case while there is much to read: what the ring
    /// says of it would stand behind what it says of relay sockets. A relay socket that gave something is while its next
    /// turn is far off.
    private func staysBusyWhenEmptied(_ slot: Int, byReading count: Int) -> Bool {
        base.sockets[slot].isListener ? count > 0 || wasLastReadFull : count > 0 && wasLastReadFull
    }

    private mutating func watch(_ slot: Int) {
        if wasLastReadFull, !base.sockets[slot].isListener { awaitReadiness(slot) } else { arm(slot) }
    }

    private mutating func awaitReadiness(_ slot: Int) {
        let token = watches.token(of: slot, .readiness)
        enqueue { $0.queuePoll(file: slot, token) }
        watches[slot].request = .readiness
    }

    private mutating func arm(_ slot: Int) {
        let token = watches.token(of: slot, .receive)
        let group = base.sockets[slot].isListener ? BufferGroup.listeners : .relays
        enqueue { $0.queueReceive(file: slot, group: group, token) }
        watches[slot].request = .receive
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
            averageReadByteCount += (received.byteCount - averageReadByteCount) / 16
            batch.append()
        }
        return result
    }
}
