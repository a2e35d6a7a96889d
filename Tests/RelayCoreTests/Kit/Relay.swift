import STUN
import Testing

@testable import RelayCore

/// A core with a pretended worker round it: it binds what the core asks for, keeps the time that the script sets, and
/// writes down every effect as a line of text.
final class Relay {
    /// The listeners: slot 0 and slot 1.
    enum Listener: UInt32, CaseIterable {
        case ipv4, ipv6

        var slot: SocketSlot { SocketSlot(index: rawValue) }
        var address: TransportAddress { self == .ipv4 ? "203.0.113.1:3478" : "[2001:db8:1::1]:3478" }
    }

    /// What all workers of one host share.
    final class Host {
        let ledger: RelayLedger
        /// Addresses with a socket, reserved siblings included.
        var bound: Set<TransportAddress> = []
        /// Reserved siblings.
        var reserved: Set<TransportAddress> = []

        init(_ configuration: Configuration) {
            ledger = RelayLedger(relayAddresses: configuration.relayAddresses)
        }
    }

    /// A datagram that left.
    struct Datagram: Equatable {
        let bytes: [UInt8]
        let slot: SocketSlot
        let destination: TransportAddress
        let dontFragment: Bool
    }

    let host: Host
    var core: RelayCore
    var now = Relay.start
    var wallSeconds: UInt64 = 1_800_000_000
    /// The keys that answers to these clients should be signed with.
    var keys: [TransportAddress: IntegrityKey] = [:]

    /// What the next binds come to; a bind beyond them succeeds if the address is free.
    var refusals: [RelayRefusal?] = []
    /// Whether binds wait until ``answerHeld()``.
    var holdsBinds = false
    private var held: [RelayRequest] = []

    /// Every datagram that was sent and every route delta since the last step began.
    private(set) var sent: [Datagram] = []
    private(set) var deltas: [RouteDelta] = []
    private(set) var binds: [RelayAnswer] = []
    /// What the deltas so far add up to.
    private(set) var routes: [RouteID: Route] = [:]
    private(set) var latestNonce: [UInt8]?
    private(set) var latestToken: UInt64?
    /// The local address of each relay socket.
    private(set) var sockets: [SocketSlot: TransportAddress] = [:]
    private var effects = Effects()
    private var lines: [String] = []

    static let start = Instant(nanoseconds: 1_000_000_000_000)

    init(
        _ configuration: Configuration = .script, host: Host? = nil, worker: Int = 0, of workers: Int = 1,
        seed: UInt64 = 1
    ) {
        let host = host ?? Host(configuration)
        self.host = host
        core = RelayCore(
            configuration, ledger: host.ledger, worker: worker, of: workers, entropy: .seeded(seed),
            at: Moment(monotonic: now, wallSeconds: wallSeconds))
        for listener in Listener.allCases { core.listen(on: listener.slot, at: listener.address) }
    }

    var moment: Moment { Moment(monotonic: now, wallSeconds: wallSeconds) }

    /// Gives the core one datagram as a worker would; every effect as a line, a verdict other than "control" too.
    func deliver(_ bytes: [UInt8], on slot: SocketSlot, from source: TransportAddress) -> [String] {
        step {
            core.anticipate(bytes.span.bytes, on: slot, from: source)
            switch core.classify(bytes.span.bytes, on: slot, from: source) {
            case .forward(let hop):
                guard core.admit(hop, at: now) else { return lines.append("limited") }
                lines.append(line(hop, bytes))
            case .control: core.receive(bytes.span.bytes, on: slot, from: source, at: moment, into: &effects)
            case .drop: lines.append("dropped")
            }
        }
    }

    /// A datagram of a peer arrives at a relayed transport address.
    func deliver(_ text: String, to relayed: TransportAddress, from peer: TransportAddress) -> [String] {
        deliver(Array(text.utf8), on: slot(of: relayed), from: peer)
    }

    func report(_ error: ICMPAttribute, from peer: TransportAddress, to relayed: TransportAddress) -> [String] {
        step { core.report(error, from: peer, on: slot(of: relayed), into: &effects) }
    }

    /// Lets time pass, on both clocks, and then whatever is due happen.
    func pass(seconds: UInt64 = 0, milliseconds: UInt64 = 0) -> [String] {
        now = now.advanced(byMilliseconds: seconds * 1000 + milliseconds)
        wallSeconds += seconds
        return expire()
    }

    /// Lets whatever is due happen: as many calls as it takes.
    func expire() -> [String] {
        step {
            repeat {
                core.expire(at: moment, into: &effects)
            } while core.deadline.map { $0 <= now } ?? false
        }
    }

    func reconfigure(_ configuration: Configuration) -> [String] {
        step { core.reconfigure(configuration, into: &effects) }
    }

    func retire() -> [String] {
        step { core.retire(at: moment, into: &effects) }
    }

    /// Ends one session; false in front of the effects if it is gone.
    func kick(_ id: SessionID) -> [String] {
        step { if !core.kick(id.allocation, at: moment, into: &effects) { lines.append("gone") } }
    }

    /// Ends the sessions that fit, call by call; the count of each call stands where it ends.
    func kick(_ filter: SessionFilter) -> [String] {
        var seen: [String] = []
        var place: UInt32? = 0
        while let from = place {
            seen += step {
                let kicked = core.kick(from: from, filter, at: moment, into: &effects)
                lines.append("kicked \(kicked.count)")
                place = kicked.next
            }
        }
        return seen
    }

    func detail(_ id: SessionID) -> SessionDetail? { core.session(id.allocation, at: moment) }

    /// The whole list, part by part.
    func sessions(_ filter: SessionFilter = SessionFilter()) -> [Session] {
        var list: [Session] = []
        var place: UInt32? = 0
        while let from = place {
            let page = core.sessions(from: from, filter, at: moment)
            list += page.sessions
            place = page.next
        }
        return list
    }

    /// Answers the binds that were held back.
    func answerHeld() -> [String] {
        let requests = held
        held = []
        holdsBinds = false
        return step {
            for request in requests { core.resume(bind(request), at: moment, into: &effects) }
        }
    }

    /// Answers something that nobody asked, or not any more.
    func resume(_ answer: RelayAnswer) -> [String] {
        step { core.resume(answer, at: moment, into: &effects) }
    }

    func slot(of relayed: TransportAddress) -> SocketSlot {
        guard let slot = sockets.first(where: { $0.value == relayed })?.key else {
            preconditionFailure("\(relayed) is no relayed transport address")
        }
        return slot
    }

    private func step(_ event: () -> Void) -> [String] {
        lines = []
        sent = []
        deltas = []
        binds = []
        event()
        perform()
        return lines
    }

    /// Carries the effects out in order; binds that come of them may append more.
    private func perform() {
        var next = 0
        while next < effects.list.count {
            let effect = effects.list[next]
            next += 1
            perform(effect)
        }
        effects.removeAll()
    }

    private func perform(_ effect: Effect) {
        switch effect {
        case .send(let range, from: let slot, to: let destination, dontFragment: let dontFragment):
            let datagram = Datagram(
                bytes: effects.bytes(range).copyBytes(), slot: slot, destination: destination,
                dontFragment: dontFragment)
            sent.append(datagram)
            lines.append(line(datagram))
        case .openRelay(let request):
            lines.append("open \(request.purpose) \(request.address)")
            if holdsBinds { return held.append(request) }
            core.resume(bind(request), at: moment, into: &effects)
        case .closeRelay(let slot):
            guard let address = sockets.removeValue(forKey: slot) else { preconditionFailure("closed twice") }
            host.bound.remove(address)
            if routes.values.contains(where: { $0.relay == address }) { Issue.record("\(address) closed with a route") }
            lines.append("close \(address)")
        case .closeReserved(let address):
            precondition(host.reserved.remove(address) != nil, "closed twice")
            host.bound.remove(address)
            lines.append("close reserved \(address)")
        case .route(let delta):
            deltas.append(delta)
            add(delta)
            lines.append(describe(delta, at: now))
        case .note(let note):
            lines.append(describe(note))
        }
    }

    /// Keeps the books of a plane that forwards by itself: no route twice, none renewed or removed that is not there.
    private func add(_ delta: RouteDelta) {
        switch delta {
        case .install(let route):
            if routes.updateValue(route, forKey: route.id) != nil { Issue.record("installed twice: \(delta)") }
        case .renew(let id, let until):
            if routes[id] == nil { Issue.record("renewed without being there: \(delta)") }
            routes[id]?.until = until
        case .meter(let id, let meters):
            if routes[id] == nil { Issue.record("metered without being there: \(delta)") }
            routes[id]?.meters = meters
        case .remove(let id):
            if routes.removeValue(forKey: id) == nil { Issue.record("removed without being there: \(delta)") }
        }
    }

    private func bind(_ request: RelayRequest) -> RelayAnswer {
        let answer = answer(to: request)
        binds.append(answer)
        if case .refused = answer { lines.append("refused") }
        return answer
    }

    /// What a host would answer: only one socket can be bound to an address, and only a reserved one can be claimed.
    private func answer(to request: RelayRequest) -> RelayAnswer {
        if !refusals.isEmpty, let refusal = refusals.removeFirst() { return .refused(request, refusal) }
        switch request.purpose {
        case .claimed:
            guard host.reserved.remove(request.address) != nil else {
                return .refused(request, .failed("the reserved socket is gone"))
            }
        case .first, .additional, .reserved:
            guard host.bound.insert(request.address).inserted else { return .refused(request, .addressInUse) }
        }
        if request.purpose == .reserved {
            host.reserved.insert(request.address)
            return .opened(request, SocketSlot(index: .max))
        }
        // The lowest free slot, as a worker's socket set does it: slots are used again at once.
        var index: UInt32 = 10
        while sockets[SocketSlot(index: index)] != nil { index += 1 }
        sockets[SocketSlot(index: index)] = request.address
        return .opened(request, SocketSlot(index: index))
    }

    private func line(_ datagram: Datagram) -> String {
        guard let reader = MessageReader(datagram.bytes, key: keys[datagram.destination]) else {
            let origin = sockets[datagram.slot].map { "\($0)" } ?? "listener \(datagram.slot.index)"
            let text = String(decoding: datagram.bytes, as: UTF8.self)
            return "\(origin) -> \(datagram.destination): \(text)\(datagram.dontFragment ? " DF" : "")"
        }
        latestNonce = reader.nonce ?? latestNonce
        latestToken = reader.token ?? latestToken
        precondition(!datagram.dontFragment && datagram.slot.index < 2, "an answer leaves from a listener")
        return "-> \(datagram.destination): \(reader.text)"
    }

    private func line(_ hop: Hop, _ bytes: [UInt8]) -> String {
        let count = Int(hop.payloadByteCount)
        switch hop.framing {
        case .unwrap:
            let payload = String(decoding: bytes[4..<4 + count], as: UTF8.self)
            return "forward \(sockets[hop.egress].map { "\($0)" } ?? "?") -> \(hop.destination): \(payload)"
        case .wrap(let channel):
            precondition(count == bytes.count && hop.egress.index < 2, "all of it goes to a client")
            let payload = String(decoding: bytes, as: UTF8.self)
            return "forward \(hex(channel.rawValue)) -> \(hop.destination): \(payload)"
        }
    }
}

/// What the wire, the tables and the books hold: all zero in a core that has forgotten everything.
extension Relay {
    /// The sizes of all that grows with state.
    var footprint: [String: Int] {
        [
            "allocations": core.allocations.count, "permissions": core.permissions.count,
            "channels": core.channels.count, "reservations": core.reservations.count,
            "clients": core.clients.count, "outbound": core.outbound.count, "inbound": core.inbound.count,
            "permitted": core.permitted.count, "timers": core.timers.count,
        ]
    }

    var isEmpty: Bool {
        footprint.values.allSatisfy { $0 == 0 } && sockets.isEmpty && routes.isEmpty && host.reserved.isEmpty
    }
}
