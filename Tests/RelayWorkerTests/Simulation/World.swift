import RelayCore
import RelayWorker
import STUN
import TestSeed

/// One datagram on the simulated network.
struct Packet {
    let from: TransportAddress
    let to: TransportAddress
    let bytes: [UInt8]
}

/// A host beyond the relay: a client, a peer.
protocol Endpoint: AnyObject {
    func receive(_ packet: Packet)
}

/// How bad the network is.
struct Conditions {
    var lossPercent = 0
    var duplicatePercent = 0
    /// Different latencies are what reorders.
    var latencyMicroseconds = 100...100
    /// Datagrams that a socket of the relay holds until it is read; what comes on top is dropped.
    var receiveQueueLimit = 1000
    /// Datagrams that a socket of the relay takes between two flushes; what comes on top is dropped.
    var sendQueueLimit = 1000
    var batchLimit = 64
    /// What the worker is told that the limit is: a worker whose batches are small for other reasons keeps up.
    var declaredBatchLimit = 64
    /// How long the relay's processor has to do with a datagram that arrives, and with one of its own making.
    var nanosecondsPerArrival: UInt64 = 0
    var nanosecondsPerAnswer: UInt64 = 0
    /// How long a relay sleeps on after the first arrival, so that batches form.
    var batchingMicroseconds = 0...0
}

/// The simulated network with its clock: everything that is not the relay happens here, in order of time, by seed.
///
/// Sendable because planes are; only one thread at a time may have to do with it.
final class World: @unchecked Sendable {
    /// What became of datagrams.
    struct Tally: Equatable {
        var transmitted = 0
        var duplicated = 0
        var lost = 0
        /// Delivered to clients and peers.
        var toEndpoints = 0
        /// Put into the queue of a socket of the relay.
        var toRelay = 0
        /// Of these, the ones that carry a payload of a known flow, and the ones from strangers.
        var payloadsToRelay = 0
        var strangersToRelay = 0
        /// Nobody lives at the address.
        var toNobody = 0
        /// The relay's socket had no room.
        var receiveQueueDrops = 0
        var sendQueueDrops = 0
    }

    private(set) var now = Instant(nanoseconds: 3_600_000_000_000)
    /// 2025-10-09, for a clock that shows the date.
    let wallSeconds: UInt64 = 1_760_000_000
    var generator: SeededGenerator
    var conditions: Conditions
    let sockets: SimulatedSockets
    var payloads = PayloadLedger()
    var tally = Tally()
    /// What must not happen and did.
    private(set) var violations: [String] = []
    /// How often a plane has waited.
    private(set) var steps = 0
    /// What bounds the simulation: a script that waits oftener has lost its way.
    var stepLimit = 100_000
    /// Senders that the relay has no reason to listen to.
    var strangers: Set<TransportAddress> = []
    /// Addresses that answer with ICMP "port unreachable".
    var unreachable: Set<TransportAddress> = []
    /// Sockets that a plane cannot watch.
    var refusesAttach: (SocketEntry) -> Bool = { _ in false }
    /// A plane breaks down when it waits for this time.
    var breaksDownAtStep: Int?

    private enum Event {
        case arrival(Packet)
        case action(() -> Void)
    }

    private var events = EventQueue<Event>()
    private var endpoints: [TransportAddress: any Endpoint] = [:]

    init(seed: UInt64, conditions: Conditions = Conditions()) {
        generator = SeededGenerator(seed: seed)
        self.conditions = conditions
        sockets = SimulatedSockets()
    }

    func add(_ endpoint: any Endpoint, at address: TransportAddress) { endpoints[address] = endpoint }

    func violate(_ what: String) { violations.append(what) }

    /// Has something happen later.
    func after(milliseconds: Int, _ action: @escaping () -> Void) {
        events.add(.action(action), at: now.advanced(byMilliseconds: UInt64(milliseconds)))
    }

    /// Sends a datagram over the network.
    func transmit(_ packet: Packet) {
        tally.transmitted += 1
        let payload = Payload.find(in: packet.bytes)
        var copies = 1
        if generator.chance(conditions.duplicatePercent) {
            copies = 2
            tally.duplicated += 1
            payloads.expectOneMore(payload)
        }
        for _ in 0..<copies {
            if generator.chance(conditions.lossPercent) {
                tally.lost += 1
                payloads.expectOneLess(payload)
            } else {
                let latency = UInt64(generator.pick(conditions.latencyMicroseconds)) * 1000
                events.add(.arrival(packet), at: Instant(nanoseconds: now.nanoseconds + latency))
            }
        }
    }

    private func deliver(_ packet: Packet) {
        if let endpoint = endpoints[packet.to] {
            tally.toEndpoints += 1
            endpoint.receive(packet)
        } else if unreachable.contains(packet.to) {
            tally.toNobody += 1
            sockets.refuse(packet)
        } else {
            switch sockets.enqueue(packet, limit: conditions.receiveQueueLimit) {
            case .queued: countToRelay(packet)
            case .full:
                tally.receiveQueueDrops += 1
                payloads.expectOneLess(Payload.find(in: packet.bytes))
            case .nobody:
                tally.toNobody += 1
                payloads.expectOneLess(Payload.find(in: packet.bytes))
            }
        }
    }

    private func countToRelay(_ packet: Packet) {
        tally.toRelay += 1
        if strangers.contains(packet.from) {
            tally.strangersToRelay += 1
        } else if Payload.find(in: packet.bytes) != nil {
            tally.payloadsToRelay += 1
        }
    }

    /// Counts one wait of a plane; throws when the script has lost its way, or when it says that the plane breaks.
    func countStep() throws(PlaneError) {
        steps += 1
        if steps == breaksDownAtStep { throw PlaneError(what: "receive", why: "scripted", mend: "None needed") }
        guard steps < stepLimit else { throw PlaneError(what: "simulation", why: "it does not end", mend: "Mend it") }
    }

    /// Lets the next thing happen, and what follows within the batching time.
    /// - Returns: false when nothing happens up to the deadline; then it is the deadline.
    func advance(until deadline: Instant?) throws(PlaneError) -> Bool {
        guard let next = events.next, next <= deadline ?? next else {
            guard let deadline else {
                throw PlaneError(what: "simulation", why: "nothing will ever happen", mend: "Mend it")
            }
            now = max(now, deadline)
            return false
        }
        let batching = UInt64(generator.pick(conditions.batchingMicroseconds)) * 1000
        let end = Instant(nanoseconds: max(now, next).nanoseconds + batching)
        happen(until: end)
        return true
    }

    private func happen(until end: Instant) {
        while let due = events.next, due <= end, let (event, _) = events.pop() {
            now = max(now, due)
            switch event {
            case .arrival(let packet): deliver(packet)
            case .action(let act): act()
            }
        }
    }

    /// The relay's processor is busy: what happens meanwhile waits in its sockets.
    func spend(nanoseconds: UInt64) {
        guard nanoseconds > 0 else { return }
        let end = Instant(nanoseconds: now.nanoseconds + nanoseconds)
        happen(until: end)
        now = end
    }

    /// Lets happen what is still under way within the next second, after the relay has gone.
    func settle() throws(PlaneError) {
        let end = now.advanced(byMilliseconds: 1000)
        while try advance(until: end) {}
    }
}

/// Which payload has still to arrive how often, and where.
struct PayloadLedger {
    /// One direction of a conversation.
    struct Flow {
        let receiver: TransportAddress
        /// Who the receiver sees as the sender.
        let seenFrom: TransportAddress
    }

    private var flows: [UInt32: Flow] = [:]
    private var expected: [Payload: Int] = [:]
    private var arrived: [Payload: Int] = [:]

    /// How many payloads were sent by their origin, and how many arrived, copies included.
    var sentCount: Int { expected.count }
    var arrivedCount: Int { arrived.values.reduce(0, +) }

    /// Names a new flow.
    mutating func open(to receiver: TransportAddress, seenFrom sender: TransportAddress) -> UInt32 {
        let flow = UInt32(flows.count + 1)
        flows[flow] = Flow(receiver: receiver, seenFrom: sender)
        return flow
    }

    /// The origin sends it.
    mutating func expect(_ payload: Payload) { expected[payload] = 1 }

    mutating func expectOneMore(_ payload: Payload?) {
        if let payload, flows[payload.flow] != nil { expected[payload, default: 0] += 1 }
    }

    mutating func expectOneLess(_ payload: Payload?) {
        if let payload, flows[payload.flow] != nil { expected[payload, default: 0] -= 1 }
    }

    /// An endpoint has got bytes. Says what is wrong about that.
    mutating func arrive(_ bytes: [UInt8], at receiver: TransportAddress, from sender: TransportAddress) -> String? {
        guard let payload = Payload.find(in: bytes) else { return "\(receiver) got bytes of nobody" }
        guard bytes == payload.bytes else { return "\(payload) is corrupted" }
        guard let flow = flows[payload.flow] else { return "\(payload) belongs to nobody" }
        guard flow.receiver == receiver else { return "\(payload) was misdelivered to \(receiver)" }
        guard flow.seenFrom == sender else { return "\(payload) seems to come from \(sender)" }
        arrived[payload, default: 0] += 1
        return nil
    }

    /// Payloads that arrived oftener or rarer than the network let them.
    var unaccounted: [String] {
        expected.compactMap { payload, count in
            let found = arrived[payload, default: 0]
            return found == count ? nil : "\(payload) arrived \(found) times, not \(count)"
        }.sorted()
    }
}
