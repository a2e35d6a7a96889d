public import RelayCore

extension Worker {
    /// How often the counters are shown to others while they change.
    @usableFromInline static var publishIntervalMilliseconds: UInt64 { 100 }

    /// How many ICMP errors a turn handles: whoever provokes them faster must not hold up the packets.
    @usableFromInline static var reportsPerTurn: Int { 64 }

    /// The one loop. Inlinable, so that it specialises inside each plane's module: the calls into the IO cost nothing.
    ///
    /// A turn: receive a batch; read the clock once; classify the batch and forward what has a route; then
    /// the control messages of the batch; then ICMP reports; then timers; flush; then look into the inbox.
    @inlinable
    public mutating func drive<IO: DatagramIO & ~Copyable>(_ io: inout IO) throws(PlaneError) -> Departure {
        // A plane that fails takes nothing along that it has counted.
        defer { link.publish(snapshot(io.counters)) }
        for slot in sockets.slots { try io.attach(slot, of: sockets) }
        noteAllWatched()
        link.publish(snapshot(io.counters))
        announceStart()
        while true {
            let count = try io.receive(until: nextDeadline)
            let moment = io.now()
            turnBegan = moment.monotonic
            if backlog.isConcerned(by: count, of: io.batchLimit) {
                noteBatch(count, of: io.batchLimit, at: moment.monotonic)
            }
            relayBatch(of: count, through: &io, at: moment.monotonic)
            if controls.count > 0 { answer(through: &io, at: moment) }
            for _ in 0..<Self.reportsPerTurn {
                guard let report = io.nextReport() else { break }
                core.report(report.error, from: report.peer, on: report.slot, into: &effects)
                perform(through: &io, at: moment)
            }
            var isChanged = count > 0
            if let deadline = core.deadline, deadline <= moment.monotonic {
                isChanged = true
                core.expire(at: moment, into: &effects)
                perform(through: &io, at: moment)
            }
            var failure: PlaneError?
            if let due = usageDueAt, due <= moment.monotonic {
                if collectUsage(at: moment.monotonic) { isChanged = true }
                failure = offloadFailure
            }
            try io.flush()
            if isChanged { noteTurn(from: moment.monotonic, to: io.now().monotonic) }
            recycleSlots()
            publishIfDue(io.counters, at: moment.monotonic, isChanged: isChanged)
            if let failure {
                empty(&io)
                throw failure
            }
            if link.hasMail, let departure = openMail(through: &io, at: moment) {
                if case .swap = departure { empty(&io) }
                return departure
            }
        }
    }

    /// Relays what the plane has taken from the sockets and not presented yet: the next plane does not know of it.
    @inlinable
    mutating func empty<IO: DatagramIO & ~Copyable>(_ io: inout IO) {
        io.stopReceiving()
        // A plane that fails now has lost the rest; the next one goes on all the same.
        while let count = try? io.receive(until: Instant(nanoseconds: 0)), count > 0 {
            relayBatch(of: count, through: &io, at: io.now().monotonic)
            if controls.count > 0 { answer(through: &io, at: io.now()) }
            try? io.flush()
            recycleSlots()
        }
        link.publish(snapshot(io.counters))
    }

    /// Forwards what has a route, puts aside what is for the core, forgets the rest.
    ///
    /// What has a route still has to keep to the limits of its session.
    ///
    /// In three passes, each of which asks the memory for what the next one reads: with thousands of sessions every
    /// datagram meets cold cache lines, and so the batch waits for all of them at once.
    @inlinable @inline(__always)
    mutating func relayBatch<IO: DatagramIO & ~Copyable>(of count: Int, through io: inout IO, at now: Instant) {
        for index in 0..<count { locate(index, through: &io) }
        for index in 0..<count { decide(index, through: &io) }
        places.removeAll()
        for position in 0..<departures.count {
            let departure = departures[position]
            if core.admit(departure.hop, at: now) {
                io.forward(departure.index, departure.hop)
            } else {
                io.release(departure.index)
            }
        }
        departures.removeAll()
    }

    @inlinable @inline(__always)
    mutating func locate<IO: DatagramIO & ~Copyable>(_ index: Int, through io: inout IO) {
        let arrival = io.arrival(index)
        let slot = slot(of: arrival, through: &io)
        places.append(slot)
        guard let slot else { return }
        core.anticipate(io.bytes(index), on: slot, from: arrival.source)
    }

    @inlinable @inline(__always)
    mutating func decide<IO: DatagramIO & ~Copyable>(_ index: Int, through io: inout IO) {
        guard let slot = places[index] else {
            core.countUnanswerable()
            return io.release(index)
        }
        switch core.classify(io.bytes(index), on: slot, from: io.arrival(index).source) {
        case .forward(let hop):
            io.anticipate(hop)
            departures.append(Departing(index: index, hop: hop))
        case .control: controls.append(index)
        case .drop: io.release(index)
        }
    }

    /// Hands the control messages of the batch to the core, each with its effects before the next.
    @inlinable
    mutating func answer<IO: DatagramIO & ~Copyable>(through io: inout IO, at moment: Moment) {
        for position in 0..<controls.count {
            let index = controls[position]
            let arrival = io.arrival(index)
            if let slot = slot(of: arrival, through: &io) {
                core.receive(io.bytes(index), on: slot, from: arrival.source, at: moment, into: &effects)
            }
            io.release(index)
            perform(through: &io, at: moment)
        }
        controls.removeAll()
    }

    /// The slot that stands for the local address which a datagram was sent to; nothing where none can.
    @inlinable @inline(__always)
    mutating func slot<IO: DatagramIO & ~Copyable>(of arrival: Arrival, through io: inout IO) -> SocketSlot? {
        guard let destination = arrival.destination else { return arrival.slot }
        return vantage(of: arrival.slot, at: destination, through: &io)
    }

    /// When `receive` must return without traffic.
    @inlinable
    var nextDeadline: Instant? {
        var next = core.deadline
        if let publishesAt { next = min(next ?? publishesAt, publishesAt) }
        if let deadline = backlog.deadline { next = min(next ?? deadline, deadline) }
        if let usageDueAt { next = min(next ?? usageDueAt, usageDueAt) }
        return next
    }

    /// Shows the counters to others, at most every 100 ms, and once more after the last change.
    @inlinable
    mutating func publishIfDue(_ plane: @autoclosure () -> PlaneCounters, at now: Instant, isChanged: Bool) {
        if let due = publishesAt {
            guard due <= now else { return }
            publishesAt = nil
            link.publish(snapshot(plane()))
        } else if isChanged {
            publishesAt = now.advanced(byMilliseconds: Self.publishIntervalMilliseconds)
        }
    }

    /// A turn with something to do ends.
    @usableFromInline
    mutating func noteTurn(from start: Instant, to end: Instant) { turns.add(from: start, to: end) }

    /// What the worker shows of itself now.
    @inlinable
    func snapshot(_ plane: PlaneCounters) -> WorkerSnapshot {
        WorkerSnapshot(core: core.counters, plane: plane, offloaded: offloaded, turns: turns)
    }
}
