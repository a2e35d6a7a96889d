import CLinux
import Glibc
import PlaneKit
public import RelayCore
public import RelayWorker

extension IOUringIO {
    /// What calls may bring is bounded in bytes as well: a turn that brought all that it might is a full one.
    public var batchLimit: Int { wasLastReadFull ? readLimit : Presentation.capacity }

    /// How many turns may be small, of sockets that are read by calls, before the ring is asked for the others.
    private static var entryInterval: Int { 4 }

    public mutating func receive(until deadline: Instant?) throws(PlaneError) -> Int {
        // Whoever called looks into the mail now.
        defer { wasWoken = false }
        submit()
        if let failure { throw PlaneError(failure) }
        recycle()
        guard present() == 0, isReceiving else { return base.presentation.count }
        // Before what has completed: without deferred work a crowd of relay sockets can see to it that something always has.
        attend()
        turnsSinceEntry += 1
        if batch.isEmpty {
            waitForCompletions(nanoseconds: remaining(until: deadline))
        } else if wasLastReadFull || turnsSinceEntry >= Self.entryInterval || ring.hasQueued {
            submitRing()
        }
        if let failure { throw PlaneError(failure) }
        takeCompletions()
        gather()
        return present()
    }

    /// Gives the buffers of the last batch back to the kernel. Everything that was sent from them has completed, but for
    /// those that are pinned.
    ///
    /// Under load it gets none: a socket that becomes ready is busy then, and the ring only says so. Reading it by calls
    /// costs less than its receive, and far less than to begin that again.
    private mutating func recycle() {
        precondition(sendsInFlight == 0)
        inbox.recycle(isSupplying: !wasLastReadFull, sparing: pins) { ring.giveBuffer($0, of: base.memory) }
        ring.publishBuffers()
    }

    /// Presents the next batch. What calls have read is older than what the ring has brought since.
    private mutating func present() -> Int {
        base.presentation.removeAll()
        batch.present(in: &base.presentation)
        if batch.isEmpty { inbox.present(in: &base.presentation) }
        return base.presentation.count
    }

    /// The kernel serves about 20 sockets a call: asks again as long as it brings as many, until a batch is full.
    private mutating func gather() {
        var count = 0
        while inbox.count >= count + 16, inbox.count < Presentation.capacity, batch.isEmpty, failure == nil {
            count = inbox.count
            submitRing()
            takeCompletions()
        }
    }

    /// Queues a request; where the queue is full, what stands in it is submitted first.
    mutating func enqueue(_ request: (borrowing Ring) -> Bool) {
        while !request(ring) {
            submitRing()
            if failure != nil { return }
        }
    }

    /// Nanoseconds until `deadline`, 0 if something waits already or a socket is to be attended to; nil for ever.
    private func remaining(until deadline: Instant?) -> Int64? {
        if wasWoken || !base.reports.isEmpty || base.sockets.hasWaiting { return 0 }
        guard let deadline else { return nil }
        let now = clinux_monotonic_nanoseconds()
        return Int64(clamping: deadline.nanoseconds > now ? deadline.nanoseconds - now : 0)
    }

    mutating func waitForCompletions(nanoseconds: Int64?) {
        turnsSinceEntry = 0
        do throws(RingError) {
            if nanoseconds == 0 { try ring.submit() } else { try ring.wait(nanoseconds: nanoseconds) }
        } catch {
            failure = error
        }
    }

    mutating func submitRing() {
        turnsSinceEntry = 0
        do throws(RingError) { try ring.submit() } catch { failure = error }
    }

    /// Receives of one socket that the kernel does in a row before it turns to others (since 6.9).
    private static var roundLimit: Int { 32 }

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
                case .readiness: takeReadiness(completion)
                case .send: finish(completion)
                case .pinningSend: finishPinning(completion)
                case .wake:
                    wasWoken = true
                    isWatchingWake = completion.hasMore
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
            watches[slot].isBusy = true
        } else if completion.result < 0, completion.result != -ECANCELED {
            // A pending ICMP error, which is gone now that it ended the receive.
            base.drainReports(of: slot)
        }
        guard !completion.hasMore else { return }
        watches[slot].request = nil
        base.sockets.enlist(slot)
    }

    /// A socket of which only readiness was asked: calls read it. An error that none of them met would make it ready for
    /// ever.
    private mutating func takeReadiness(_ completion: Completion) {
        guard watches.isCurrent(completion.token) else { return }
        let slot = completion.token.number
        watches[slot].request = nil
        watches[slot].isBusy = true
        if completion.result > 0, completion.result & Int32(POLLERR) != 0 { base.drainReports(of: slot) }
        base.sockets.enlist(slot)
    }

    /// A socket filled a round, so it has more: its receive ends, and calls read it.
    private mutating func noteBusy(_ token: Token) {
        let slot = token.number
        guard watches.isCurrent(token), watches[slot].request == .receive, !watches[slot].isBusy else { return }
        watches[slot].isBusy = true
        enqueue { $0.queueCancel(token) }
    }

    private mutating func takeMessage(inBuffer number: Int, byteCount: Int, of slot: Int) {
        let head = BufferHead(ofBuffer: number, in: base.memory, byteCount: byteCount)
        base.take(
            number, from: head.source, head.arrival, byteCount: head.payloadByteCount, isTruncated: head.isTruncated,
            on: slot)
        inbox.append(number, byteCount: head.payloadByteCount)
    }
}
