import RelayCore
import STUN
import TestSeed

@testable import RelayWorker

/// Datagrams in and out of the simulated world, with the contract of `DatagramIO` checked at every call.
struct SimulatedIO: DatagramIO, ~Copyable {
    private struct Received {
        let arrival: Arrival
        let range: Range<Int>
        /// Neither forwarded nor released yet.
        var isHeld = true
    }

    private struct Outgoing {
        let egress: SocketSlot
        let packet: Packet
    }

    private let world: World
    private let link: WorkerLink
    private(set) var attached: [SocketSlot: SocketEntry] = [:]
    /// The slots that datagrams come in on; a vantage's come in on its listener's.
    private var sources: [Int32: SocketSlot] = [:]
    private var batch: [Received] = []
    private var buffer: [UInt8] = []
    private var outbox: [Outgoing] = []
    /// What it has taken from the sockets and not presented, once it takes no more.
    private var held: [Int32: [Packet]]?
    private(set) var counters = PlaneCounters()
    /// Datagrams of the core's own making since the last flush.
    private var answerCount: UInt64 = 0
    /// How many datagrams were given to `forward` and to `send`.
    private(set) var queuedCount: UInt64 = 0

    init(_ world: World, _ link: WorkerLink) {
        self.world = world
        self.link = link
    }

    mutating func attach(_ slot: SocketSlot, of sockets: borrowing SocketSet) throws(PlaneError) {
        let entry = sockets[slot]
        if attached[slot] != nil { world.violate("slot \(slot.index) attached twice") }
        if world.sockets.open[entry.descriptor] == nil { world.violate("a closed socket attached") }
        guard !world.refusesAttach(entry) else {
            throw PlaneError(what: "attach", why: "scripted", mend: "None needed")
        }
        attached[slot] = entry
        if case .vantage = entry.role { return }
        sources[entry.descriptor] = slot
    }

    mutating func detach(_ slot: SocketSlot) {
        // What it sent before it was closed still leaves.
        deliver(outbox.filter { $0.egress == slot })
        outbox.removeAll { $0.egress == slot }
        guard let entry = attached.removeValue(forKey: slot) else {
            return world.violate("slot \(slot.index) detached, never attached")
        }
        if sources[entry.descriptor] == slot { sources[entry.descriptor] = nil }
    }

    mutating func receive(until deadline: Instant?) throws(PlaneError) -> Int {
        if held == nil { try world.countStep() }
        if batch.contains(where: \.isHeld) { world.violate("a datagram was neither forwarded nor released") }
        if !isFlushed { world.violate("a turn ended without a flush") }
        batch.removeAll(keepingCapacity: true)
        buffer.removeAll(keepingCapacity: true)
        var goesOn = true
        while goesOn {
            collect()
            if held != nil || !batch.isEmpty || link.hasMail || hasReport { return batch.count }
            goesOn = try world.advance(until: deadline)
        }
        return 0
    }

    var batchLimit: Int { world.conditions.declaredBatchLimit }

    /// A plane may have taken in whatever is in the sockets by then; this one always has.
    mutating func stopReceiving() {
        var taken: [Int32: [Packet]] = [:]
        for descriptor in world.sockets.readable where sources[descriptor] != nil {
            while let packet = world.sockets.take(from: descriptor) { taken[descriptor, default: []].append(packet) }
        }
        held = taken
    }

    var isEmpty: Bool { held?.isEmpty ?? true }

    private var readable: [Int32] { held.map { Array($0.keys) } ?? Array(world.sockets.readable) }

    private mutating func take(from descriptor: Int32) -> Packet? {
        guard held != nil else { return world.sockets.take(from: descriptor) }
        guard let packet = held?[descriptor]?.removeFirst() else { return nil }
        if held?[descriptor]?.isEmpty == true { held?[descriptor] = nil }
        return packet
    }

    /// Takes a batch from the sockets' queues, beginning with any.
    private mutating func collect() {
        let slots = readable.compactMap { sources[$0] }.sorted { $0.index < $1.index }
        guard !slots.isEmpty else { return }
        let first = world.generator.pick(0...slots.count - 1)
        for slot in slots[first...] + slots[..<first] {
            guard let entry = attached[slot] else { continue }
            let isWildcard = entry.role == .listener(isWildcard: true)
            while batch.count < world.conditions.batchLimit, let packet = take(from: entry.descriptor) {
                let start = buffer.count
                buffer += packet.bytes
                batch.append(
                    Received(
                        arrival: Arrival(
                            slot: slot, source: packet.from, destination: isWildcard ? packet.to.ip : nil),
                        range: start..<buffer.count))
                counters.receivedDatagrams += 1
            }
        }
        if !batch.isEmpty { counters.receiveCalls += 1 }
    }

    func arrival(_ index: Int) -> Arrival {
        check(index)
        return batch[index].arrival
    }

    @_lifetime(borrow self)
    func bytes(_ index: Int) -> RawSpan {
        check(index)
        return buffer.span.bytes.extracting(batch[index].range)
    }

    func anticipate(_ hop: Hop) {}

    mutating func forward(_ index: Int, _ hop: Hop) {
        check(index)
        let datagram = buffer[batch[index].range]
        let count = Int(hop.payloadByteCount)
        switch hop.framing {
        case .unwrap:
            queue(Array(datagram.dropFirst(4).prefix(count)), from: hop.egress, to: hop.destination)
        case .wrap(let channel):
            let words = [channel.rawValue, hop.payloadByteCount]
            let header = words.flatMap { [UInt8($0 >> 8), UInt8(truncatingIfNeeded: $0)] }
            queue(header + datagram.prefix(count), from: hop.egress, to: hop.destination)
        }
        batch[index].isHeld = false
    }

    mutating func release(_ index: Int) {
        check(index)
        batch[index].isHeld = false
    }

    mutating func send(
        _ payload: RawSpan, from slot: SocketSlot, to destination: TransportAddress, dontFragment: Bool
    ) {
        answerCount += 1
        queue(payload.withUnsafeBytes { Array($0) }, from: slot, to: destination)
    }

    private mutating func queue(_ bytes: [UInt8], from egress: SocketSlot, to destination: TransportAddress) {
        guard let entry = attached[egress] else { return world.violate("slot \(egress.index) used, not attached") }
        queuedCount += 1
        let packet = Packet(from: entry.local, to: destination, bytes: bytes)
        guard outbox.count(where: { $0.egress == egress }) < world.conditions.sendQueueLimit else {
            counters.sendQueueFull += 1
            world.tally.sendQueueDrops += 1
            return world.payloads.expectOneLess(Payload.find(in: bytes))
        }
        outbox.append(Outgoing(egress: egress, packet: packet))
    }

    mutating func flush() throws(PlaneError) {
        world.spend(
            nanoseconds: UInt64(batch.count) * world.conditions.nanosecondsPerArrival
                + answerCount * world.conditions.nanosecondsPerAnswer)
        answerCount = 0
        deliver(outbox)
        outbox.removeAll(keepingCapacity: true)
    }

    var isFlushed: Bool { outbox.isEmpty }

    private mutating func deliver(_ outgoing: [Outgoing]) {
        for outgoing in outgoing {
            world.transmit(outgoing.packet)
            counters.sentDatagrams += 1
        }
        if !outgoing.isEmpty { counters.sendCalls += 1 }
    }

    private var hasReport: Bool { world.sockets.erring.contains { sources[$0] != nil } }

    mutating func nextReport() -> ICMPReport? {
        for descriptor in world.sockets.erring.sorted() {
            guard let slot = sources[descriptor], let peer = world.sockets.takeRefusal(from: descriptor) else {
                continue
            }
            let isIPv4 = peer.family == .ipv4
            return ICMPReport(
                slot: slot, peer: peer, error: ICMPAttribute(type: isIPv4 ? 3 : 1, code: isIPv4 ? 3 : 4, data: 0))
        }
        return nil
    }

    func now() -> Moment { Moment(monotonic: world.now, wallSeconds: world.wallSeconds) }

    private func check(_ index: Int) {
        if !batch[index].isHeld { world.violate("datagram \(index) used after it was given away") }
    }
}

/// A plane of the simulated world.
final class SimulatedPlane: DataPlane, @unchecked Sendable {
    let name: String
    private let world: World
    private let link: WorkerLink
    /// What its last life left behind.
    private(set) var attachedRoles: [SocketEntry.Role] = []
    private(set) var queuedCount: UInt64 = 0
    private(set) var runs = 0

    init(_ world: World, _ link: WorkerLink, name: String = "simulated") {
        self.world = world
        self.link = link
        self.name = name
    }

    func run(_ worker: inout Worker) throws(PlaneError) -> Departure {
        runs += 1
        var io = SimulatedIO(world, link)
        let departure = try worker.drive(&io)
        if !io.isFlushed { world.violate("a plane's life ended without a flush") }
        if !io.isEmpty { world.violate("a plane was left with datagrams that it had taken") }
        attachedRoles = io.attached.values.map(\.role)
        queuedCount = io.queuedCount
        return departure
    }
}
