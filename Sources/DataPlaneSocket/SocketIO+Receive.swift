import CLinux
public import RelayCore
public import RelayWorker
import STUN

extension SocketIO {
    /// How many turns ready sockets may be served before epoll is asked for others.
    private static var pollInterval: Int { 8 }
    /// Buffers of a turn that listeners may fill while relay sockets wait too.
    private static var listenerShare: Int { PacketMemory.bufferCount / 2 }
    /// Buffers of a turn that one relay socket may fill while others wait.
    private static var relayShare: Int { 16 }

    public mutating func receive(until deadline: Instant?) throws(PlaneError) -> Int {
        submit()
        let waiting = batch.present()
        guard waiting == 0 else { return waiting }
        batch.removeAll()
        turnsSincePoll += 1
        if sockets.relays.isEmpty || turnsSincePoll >= Self.pollInterval { try poll(until: deadline) }
        fill()
        return batch.present()
    }

    /// Asks epoll which sockets are ready; waits only if none is known to be and no report is left over.
    private mutating func poll(until deadline: Instant?) throws(PlaneError) {
        turnsSincePoll = 0
        let count =
            sockets.hasReady || !reports.isEmpty ? try poller.wait(nanoseconds: 0) : try poller.wait(until: deadline)
        for index in 0..<count { sockets.prefetch(Int(truncatingIfNeeded: poller.event(index).token)) }
        for index in 0..<count {
            let event = poller.event(index)
            guard event.token != Poller.wakeToken else { continue }
            let slot = Int(event.token)
            if event.failed {
                let state = sockets[slot]
                reports.drain(
                    state.descriptor, of: SocketSlot(index: UInt32(slot)), isRelay: !state.isListener)
            }
            if event.readable { sockets.markReady(slot) }
        }
    }

    /// Fills the buffers from the ready sockets: listeners first, then relay sockets in turn, each kind with a share.
    private mutating func fill() {
        var filled = 0
        for _ in 0..<sockets.listeners.count {
            let share = sockets.relays.isEmpty ? PacketMemory.bufferCount : Self.listenerShare
            guard filled < share else { break }
            filled += take(from: sockets.nextListener(), at: filled, limit: share - filled)
        }
        for _ in 0..<sockets.relays.count {
            let free = PacketMemory.bufferCount - filled
            guard free > 0 else { break }
            let limit = sockets.relays.count > 1 ? min(free, Self.relayShare) : free
            filled += take(from: sockets.nextRelay(), at: filled, limit: limit)
        }
    }

    /// Receives from one socket; one that filled its share probably has more and goes to the end of its list.
    private mutating func take(from slot: Int, at first: Int, limit: Int) -> Int {
        let descriptor = sockets[slot].descriptor
        counters.receiveCalls += 1
        var result = receiver.receive(from: descriptor, at: first, limit: limit)
        if result < 0, result != -Int(EAGAIN) {
            // A signal, or a pending ICMP error, which is gone now that it failed a call.
            counters.receiveCalls += 1
            result = receiver.receive(from: descriptor, at: first, limit: limit)
        }
        guard result > 0 else { return 0 }
        for index in first..<first + result { takeMessage(index, of: slot) }
        if result == limit { sockets.markReady(slot) }
        return result
    }

    private mutating func takeMessage(_ index: Int, of slot: Int) {
        let received = receiver.message(index)
        var message = Message()
        message.slot = SocketSlot(index: UInt32(slot))
        message.byteCount = received.byteCount
        message.segmentByteCount = Int(received.arrival.segment_byte_count)
        message.trafficClass = received.arrival.traffic_class
        message.destination = IPAddress(received.arrival.destination)
        if let source = TransportAddress(received.source) {
            message.source = source
            message.isLive = !received.isTruncated
        }
        counters.receivedDatagrams += UInt64(message.datagramCount)
        if received.isTruncated { counters.receiveTruncated += 1 }
        if received.arrival.has_drop_count { countDrops(received.arrival.drop_count, of: slot) }
        batch.append(message)
    }

    /// The kernel tells a running 32-bit total.
    private mutating func countDrops(_ total: UInt32, of slot: Int) {
        counters.receiveQueueDrops += UInt64(total &- sockets[slot].dropCount)
        sockets[slot].dropCount = total
    }
}
