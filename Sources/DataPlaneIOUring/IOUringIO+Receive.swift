import CLinux
import Glibc
import PlaneKit
public import RelayCore
public import RelayWorker

extension IOUringIO {
    public var batchLimit: Int { Presentation.capacity }

    public mutating func receive(until deadline: Instant?) throws(PlaneError) -> Int {
        submit()
        if let failure { throw PlaneError(failure) }
        recycle()
        takeCompletions()
        let isArming = isReceiving && arm()
        let waiting = inbox.present(in: &base.presentation)
        // Even while there is something to present: a listener that ran out of buffers must not wait for that to end.
        if waiting > 0, isArming { submitRing() }
        guard waiting == 0, isReceiving else { return waiting }
        sweepBusyListener()
        waitForCompletions(nanoseconds: remaining(until: deadline))
        if let failure { throw PlaneError(failure) }
        takeCompletions()
        return inbox.present(in: &base.presentation)
    }

    /// Gives the buffers of the last batch back to the kernel. Everything that was sent from them has completed.
    private mutating func recycle() {
        precondition(sendsInFlight == 0)
        inbox.recycle { ring.giveBuffer($0, of: base.memory) }
        ring.publishBuffers()
    }

    /// Begins to receive, again, on the sockets whose receive has ended, as far as there are buffers.
    /// - Returns: whether there is anything to submit.
    private mutating func arm() -> Bool {
        guard base.sockets.hasWaiting || !isWatchingWake else { return false }
        if !isWatchingWake, wakeDescriptor >= 0 {
            isWatchingWake = true
            let descriptor = wakeDescriptor
            enqueue { $0.queueWatch(descriptor, Token(.wake)) }
        }
        arm(.listeners)
        arm(.relays)
        return true
    }

    private mutating func arm(_ group: BufferGroup) {
        // One that ended for want of buffers takes at least one.
        for _ in 0..<inbox.suppliedCount(of: group) {
            guard let slot = nextWaiting(of: group) else { return }
            let token = watches.token(of: slot)
            enqueue { $0.queueReceive(file: slot, group: group, token) }
            watches[slot].isArmed = true
        }
    }

    private mutating func nextWaiting(of group: BufferGroup) -> Int? {
        switch group {
        case .listeners: base.sockets.listeners.isEmpty ? nil : base.sockets.nextListener()
        case .relays: base.sockets.relays.isEmpty ? nil : base.sockets.nextRelay()
        }
    }

    /// Receives of one socket that the kernel does in a row before it turns to others (since 6.9).
    private static var roundLimit: Int { 32 }

    /// Takes what a busy listener has, up to a round. The kernel serves ready sockets in the order in which they became
    /// ready: among thousands of ready relay sockets the listener, which carries the traffic of all clients, would have
    /// its turn too seldom.
    mutating func sweepBusyListener() {
        guard let slot = busyListener, base.sockets.contains(slot), !watches[slot].isSwept,
            inbox.suppliedCount(of: .listeners) > 0
        else { return }
        watches[slot].isSwept = true
        watches[slot].sweptCount = 0
        let token = watches.token(of: slot, .sweep)
        enqueue { $0.queueReceive(file: slot, group: .listeners, waits: false, token) }
    }

    /// Queues a request; where the queue is full, what stands in it is submitted first.
    mutating func enqueue(_ request: (borrowing Ring) -> Bool) {
        while !request(ring) {
            submitRing()
            if failure != nil { return }
        }
    }

    /// Nanoseconds until `deadline`, 0 if something waits already or a socket is not armed yet; nil for ever.
    private func remaining(until deadline: Instant?) -> Int64? {
        if !base.reports.isEmpty || base.sockets.hasWaiting { return 0 }
        guard let deadline else { return nil }
        let now = clinux_monotonic_nanoseconds()
        return Int64(clamping: deadline.nanoseconds > now ? deadline.nanoseconds - now : 0)
    }

    mutating func waitForCompletions(nanoseconds: Int64?) {
        do throws(RingError) {
            if nanoseconds == 0 { try ring.submit() } else { try ring.wait(nanoseconds: nanoseconds) }
        } catch {
            failure = error
        }
    }

    mutating func submitRing() {
        do throws(RingError) { try ring.submit() } catch { failure = error }
    }

    /// Takes in everything that has completed.
    mutating func takeCompletions() {
        let receivedBefore = base.counters.receivedDatagrams
        var row = 0
        var latest = Token(.wake)
        var isMore = true
        while isMore {
            isMore = ring.takeCompletions()
            for index in 0..<ring.takenCount {
                let completion = ring.completion(index)
                switch completion.token.kind {
                case .receive:
                    take(completion)
                    row = completion.token == latest ? row + 1 : 1
                    latest = completion.token
                    if row == Self.roundLimit { noteBusy(completion.token) }
                case .sweep: takeSwept(completion)
                case .send: finish(completion)
                case .wake: if !completion.hasMore { isWatchingWake = false }
                case .cancel, nil: break
                }
            }
        }
        if base.counters.receivedDatagrams != receivedBefore { base.counters.receiveCalls += 1 }
    }

    /// One event of a socket's receive: a datagram, an error, its end.
    private mutating func take(_ completion: Completion) {
        let slot = completion.token.number
        guard watches.isCurrent(completion.token) else {
            if let buffer = completion.buffer { ring.giveBuffer(buffer, of: base.memory) }
            return
        }
        if let buffer = completion.buffer {
            takeMessage(inBuffer: buffer, byteCount: Int(completion.result), of: slot)
        } else if completion.result == -ENOBUFS {
            base.counters.receiveBufferShortages += 1
        } else if completion.result < 0, completion.result != -ECANCELED {
            // A pending ICMP error, which is gone now that it ended the receive.
            base.drainReports(of: slot)
        }
        guard !completion.hasMore else { return }
        watches[slot].isArmed = false
        base.sockets.enlist(slot)
    }

    /// A socket filled a round: it has more.
    private mutating func noteBusy(_ token: Token) {
        if watches.isCurrent(token), base.sockets[token.number].isListener { busyListener = token.number }
    }

    /// One datagram of a sweep, or its end.
    private mutating func takeSwept(_ completion: Completion) {
        let slot = completion.token.number
        guard watches.isCurrent(completion.token) else {
            if let buffer = completion.buffer { ring.giveBuffer(buffer, of: base.memory) }
            return
        }
        if let buffer = completion.buffer {
            takeMessage(inBuffer: buffer, byteCount: Int(completion.result), of: slot)
            watches[slot].sweptCount += 1
        }
        guard !completion.hasMore else { return }
        watches[slot].isSwept = false
        if Int(watches[slot].sweptCount) < Self.roundLimit { busyListener = nil }
    }

    private mutating func takeMessage(inBuffer number: Int, byteCount: Int, of slot: Int) {
        let head = BufferHead(ofBuffer: number, in: base.memory, byteCount: byteCount)
        base.take(
            number, from: head.source, head.arrival, byteCount: head.payloadByteCount, isTruncated: head.isTruncated,
            on: slot)
        inbox.append(number, byteCount: head.payloadByteCount)
    }
}
