import STUN

@testable import RelayCore

/// Random operations on a relay and on its model; the first difference ends the run.
final class ModelRun {
    enum Operation {
        case allocate(ModelWish)
        case refresh(lifetime: UInt32?, family: UInt8?)
        case permit([TransportAddress])
        case bind(UInt16, TransportAddress)
    }

    /// A request as it was sent, for retransmissions.
    private struct Request {
        let client: Client
        let user: String
        let operation: Operation
        let transaction: TransactionID
        let bytes: [UInt8]
        let at: Instant
    }

    let relay: Relay
    var model = NaiveRelay(ModelWorld.configuration)
    private var generator: SplitMix64
    /// For every client address one for each user.
    private let clients: [[Client]]
    private var greetedAt: Instant?
    private var latest: [TransportAddress: Request] = [:]
    /// Every datagram that left.
    private(set) var sent: [Relay.Datagram] = []
    /// How often each kind of answer was seen, so that a run that reaches nothing shows.
    private(set) var answers: [String: Int] = [:]
    private(set) var forwardedCount = 0

    init(seed: UInt64, entropy: UInt64) {
        generator = SplitMix64(seed: seed)
        let relay = Relay(ModelWorld.configuration, seed: entropy)
        self.relay = relay
        clients = ModelWorld.clients.map { address, _ in
            ModelWorld.users.map { Client(relay, address, user: $0) }
        }
    }

    /// Does one operation; what is wrong with the outcome, or nothing.
    func step() -> String? {
        greetIfDue()
        let complaint =
            switch below(100) {
            case 0..<22: say()
            case 22..<42: receive()
            case 42..<52: indicate()
            case 52..<62: pass()
            case 62..<75: request { .permit((0...$0.below(3)).map { _ in self.peer() }) }
            case 75..<88: request { .bind($0.pick(ModelWorld.numbers), self.peer()) }
            case 88..<91: request { _ in self.refreshOrRelease() }
            case 91..<97: request { _ in .allocate(self.wish()) }
            default: retransmit()
            }
        sent += relay.sent
        return complaint ?? difference()
    }

    /// Lets everything run out; what is left, or nothing.
    func finish() -> String? {
        relay.refusals = []
        for _ in 0..<2 {
            _ = relay.pass(seconds: 3601)
            model.now = relay.now
            model.expire(relay)
            if let difference = difference() { return difference }
        }
        guard relay.isEmpty, relay.host.bound.isEmpty else { return "left over: \(relay.footprint)" }
        return portsAreFree() ? nil : "a port is not free"
    }

    /// Whether every port of every family can be had.
    private func portsAreFree() -> Bool {
        for index in relay.core.relays.indices {
            for port in ModelWorld.configuration.relayPorts {
                guard relay.core.relays[index].ports.takeSpecific(port, at: relay.now) else { return false }
            }
        }
        return true
    }

    private func greetIfDue() {
        if let greetedAt, relay.now < greetedAt.advanced(bySeconds: 3600) { return }
        greetedAt = relay.now
        clients.joined().forEach { $0.greet() }
    }
}

/// Chance.
extension ModelRun {
    func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &generator) }

    func pick<Element>(_ choices: [Element]) -> Element { choices[below(choices.count)] }

    /// Any peer, or one that is bound somewhere, by the name that a client would use.
    private func peer() -> TransportAddress {
        let bound = relay.routes.values.map(\.peer).sorted { ($0.ip.low, $0.port) < ($1.ip.low, $1.port) }
        return bound.isEmpty || below(2) == 0 ? pick(ModelWorld.peers) : model.outside(pick(bound))
    }

    /// Any client, or one with an allocation; now and then with the wrong user.
    private func client() -> Client {
        let living = ModelWorld.clients.indices.filter { model.allocations[ModelWorld.clients[$0].address] != nil }
        let index = living.isEmpty || below(2) == 0 ? below(clients.count) : pick(living)
        let owner = ModelWorld.clients[index].user
        return clients[index][below(20) == 0 ? 1 - owner : owner]
    }

    private func refreshOrRelease() -> Operation {
        .refresh(
            lifetime: below(4) == 0 ? 0 : pick(ModelWorld.lifetimes), family: pick([nil, nil, nil, 1, 2, 3]))
    }

    private func wish() -> ModelWish {
        var wish = ModelWish(lifetime: pick(ModelWorld.lifetimes))
        switch below(8) {
        case 0: wish.family = pick([1, 2, 2, 3])
        case 1, 2: wish.additional = pick([2, 2, 2, 1])
        case 3: wish.token = model.reservations.keys.min() ?? 12_345
        case 4: wish.family = 2
        default: break
        }
        if below(4) == 0 { wish.evenPort = below(2) == 0 }
        return wish
    }
}

/// Requests.
extension ModelRun {
    private func request(_ make: (ModelRun) -> Operation) -> String? {
        let client = client()
        let operation = make(self)
        let transaction = client.nextTransaction()
        let bytes =
            switch operation {
            case .allocate(let wish): client.request(.allocate, wish.fields, transaction: transaction)
            case .refresh(let lifetime, let family):
                client.request(
                    .refresh, (lifetime.map { [.lifetime($0)] } ?? []) + (family.map { [.family($0)] } ?? []),
                    transaction: transaction)
            case .permit(let peers):
                client.request(.createPermission, peers.map { .peer($0) }, transaction: transaction)
            case .bind(let number, let peer):
                client.request(.channelBind, [.channel(number), .peer(peer)], transaction: transaction)
            }
        let user = String(decoding: client.credentials.username ?? [], as: UTF8.self)
        let request = Request(
            client: client, user: user, operation: operation, transaction: transaction, bytes: bytes, at: relay.now)
        latest[client.address] = request
        return deliver(request)
    }

    private func retransmit() -> String? {
        guard let request = latest[client().address], relay.now < request.at.advanced(bySeconds: 3600) else {
            return nil
        }
        return deliver(request)
    }

    private func deliver(_ request: Request) -> String? {
        if case .allocate(let wish) = request.operation, wish.token == nil, below(6) == 0 {
            relay.refusals = (0...below(4)).map { _ in pick([nil, .addressInUse, .addressInUse, .failed("x")]) }
        }
        let seen = request.client.deliver(request.bytes)
        relay.refusals = []
        let prefix = "-> \(request.client.address): "
        let lines = seen.filter { $0.hasPrefix(prefix) }
        guard lines.count == 1, lines[0].hasSuffix(" signed-sha1") else { return "\(request.operation): \(seen)" }
        let answer = String(lines[0].dropFirst(prefix.count).dropLast(" signed-sha1".count))
        answers[answer.split(separator: " ").prefix(2).joined(separator: " "), default: 0] += 1
        let expected = expected(request, newToken: answer.contains(" token") ? relay.latestToken : nil)
        return answer == expected ? nil : "\(request.operation): \(seen), expected \(expected)"
    }

    private func expected(_ request: Request, newToken: UInt64?) -> String {
        let client = request.client.address
        return switch request.operation {
        case .allocate(let wish):
            model.allocate(
                client, user: request.user, wish, request.transaction, binds: relay.binds, newToken: newToken)
        case .refresh(let lifetime, let family):
            model.refresh(client, user: request.user, lifetime: lifetime, family: family, request.transaction)
        case .permit(let peers): model.createPermission(client, user: request.user, peers)
        case .bind(let number, let peer): model.bindChannel(client, user: request.user, number, peer)
        }
    }
}

/// Data and time.
extension ModelRun {
    private func say() -> String? {
        var (client, number) = (client(), pick(ModelWorld.numbers))
        let routes = relay.routes.values.sorted { $0.id.index < $1.id.index }
        if !routes.isEmpty, below(2) == 0 {
            let route = pick(routes)
            number = route.channel.rawValue
            client = clients.joined().first { $0.address == route.client } ?? client
        }
        let seen = client.say("x", on: number)
        let expected =
            model.outbound(client.address, number).map { ["forward \($0) -> \($1): x"] } ?? ["dropped"]
        if expected != ["dropped"] { forwardedCount += 1 }
        return seen == expected ? nil : "say \(number): \(seen), expected \(expected)"
    }

    private func indicate() -> String? {
        let (client, peer) = (client(), peer())
        let seen = client.indicate("x", to: peer)
        let expected = model.indicated(client.address, peer).map { ["\($0) -> \($1): x"] } ?? []
        if !expected.isEmpty { forwardedCount += 1 }
        return seen == expected ? nil : "send to \(peer): \(seen), expected \(expected)"
    }

    private func receive() -> String? {
        guard !relay.sockets.isEmpty else { return nil }
        let address = pick(relay.sockets.values.sorted { ($0.ip.low, $0.port) < ($1.ip.low, $1.port) })
        let peer = model.inside(peer())
        let seen = relay.deliver("x", to: address, from: peer)
        let expected =
            switch model.inbound(address, from: peer) {
            case .channel(let number, let client): ["forward \(hex(number)) -> \(client): x"]
            case .indication(let client): ["-> \(client): data peer=\(model.outside(peer)) data=x"]
            case .dropped: ["dropped"]
            }
        if expected != ["dropped"] { forwardedCount += 1 }
        return seen == expected ? nil : "\(peer) to \(address): \(seen), expected \(expected)"
    }

    /// Small steps, long ones, and steps to just about where something ends.
    private func pass() -> String? {
        var now = relay.now
        switch below(40) {
        case 0..<15: now = now.advanced(byMilliseconds: UInt64(below(300)))
        case 15..<30: now = now.advanced(byMilliseconds: UInt64(below(30_000)))
        case 30: now = now.advanced(bySeconds: UInt32(pick([30, 300, 600, 900]) - below(2)))
        default:
            let dues = model.dues.filter { $0 > now }.sorted()
            guard !dues.isEmpty else { return nil }
            let due = pick(Array(dues.prefix(6))).nanoseconds
            let offset = pick([-1_000_000, -1, 0, 1, 1_000_000, 128_000_000, 255_999_999, 256_000_000])
            now = max(now, Instant(nanoseconds: UInt64(Int64(due) + Int64(offset))))
        }
        // A worker reads messages before it looks at its timers: now and then they come before the end.
        let isLate = now.nanoseconds - relay.now.nanoseconds < 300_000_000 && below(3) == 0
        (relay.now, model.now) = (now, now)
        guard !isLate else { return nil }
        _ = relay.expire()
        model.expire(relay)
        return nil
    }
}

/// Comparison of what must agree after every operation.
extension ModelRun {
    private struct Active: Hashable {
        let client: TransportAddress
        let channel: UInt16
        let relay: TransportAddress
        let peer: TransportAddress
        let until: Instant
    }

    private func difference() -> String? {
        var active: Set<Active> = []
        var permissionCount = 0
        for (client, allocation) in model.allocations {
            for relayed in allocation.relayed.values {
                permissionCount += relayed.permissions.count
                for (number, channel) in relayed.channels where channel.isActive {
                    active.insert(
                        Active(
                            client: client, channel: number, relay: relayed.address, peer: channel.peer,
                            until: channel.lease))
                }
            }
        }
        let counters = relay.core.counters
        guard counters.allocations == UInt64(model.allocations.count), counters.channels == UInt64(active.count),
            counters.permissions == UInt64(permissionCount)
        else {
            return "\(counters.allocations), \(counters.permissions), \(counters.channels) living, expected "
                + "\(model.allocations.count), \(permissionCount), \(active.count)"
        }
        let routes = relay.routes.values.map {
            Active(client: $0.client, channel: $0.channel.rawValue, relay: $0.relay, peer: $0.peer, until: $0.until)
        }
        return Set(routes) == active ? nil : "routes \(routes), expected \(active)"
    }
}

/// The core's tables, looked into where the model must not know better.
extension Relay: NaiveRelay.Witness {
    func isClosed(_ relayed: TransportAddress) -> Bool { !sockets.values.contains(relayed) }

    func isGone(_ peer: IPAddress, at relayed: TransportAddress) -> Bool {
        isClosed(relayed) || core.permitted.find(PermissionKey(relay: slot(of: relayed), peer: peer)) == nil
    }

    func isAsleep(_ channel: UInt16, of client: TransportAddress) -> Bool {
        core.outbound.value(key(channel, client))?.isActive != true
    }

    func isForgotten(_ channel: UInt16, of client: TransportAddress) -> Bool {
        core.outbound.find(key(channel, client)) == nil
    }

    private func key(_ channel: UInt16, _ client: TransportAddress) -> ChannelKey {
        let listener = client.family == .ipv4 ? Listener.ipv4 : .ipv6
        return ChannelKey(client: client, listener: listener.slot, channel: channel)
    }
}
