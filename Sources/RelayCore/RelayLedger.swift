public import STUN
import Synchronization

/// What is truly one for all workers: quotas and meters of users, reserved siblings, relayed ports in use.
///
/// Touched on the control path only. Which ports are in use each core sees without a lock, through its own
/// ``RelayedPorts``.
public final class RelayLedger: Sendable {
    /// A sibling port that EVEN-PORT reserved, waiting for its token.
    struct Reservation {
        let address: TransportAddress
        let quotaName: String
        let expires: Instant
    }

    /// A user with living allocations, or with traffic that still counts.
    private struct User {
        var allocations = 0
        let meter: UserMeter
    }

    private struct State {
        var users: [String: User] = [:]
        /// Users without an allocation, in the order in which they lost their last one. A name may stand here twice, or
        /// belong to somebody who has come back.
        var idle = IdleQueue()
        var meterCount: UInt64 = 0
        var allocations = 0
        var reservations: [UInt64: Reservation] = [:]

        mutating func join(_ user: String) -> UserMeter {
            if let meter = users[user]?.meter {
                users[user]?.allocations += 1
                return meter
            }
            meterCount += 1
            // An allocation's number never has this bit.
            let meter = UserMeter(id: MeterID(rawValue: 1 << 63 | meterCount))
            users[user] = User(allocations: 1, meter: meter)
            return meter
        }

        /// Forgets users whose traffic does not count any more. Two a call: no more than one is added between.
        mutating func forgetIdle(at now: Instant) {
            for _ in 0..<2 {
                guard let name = idle.popFirst() else { return }
                guard let user = users[name], user.allocations == 0 else { continue }
                if user.meter.isFull(at: now) { users[name] = nil } else { idle.append(name) }
            }
        }
    }

    /// How many users are known, those among them that wait to be forgotten.
    var userCount: Int { state.withLock { $0.users.count } }

    private let state = Mutex(State())
    private let relayed = Mutex(RelayedPorts())

    /// - Parameter relayAddresses: those of the configuration that the relay starts with.
    public init(relayAddresses: [RelayAddress]) { _ = relayedPorts(on: relayAddresses) }

    /// What became of a wish for one more allocation.
    enum Admittance {
        /// It is counted; the buckets are good until it is dismissed.
        case admitted(UserBuckets)
        case refused(Quota)
    }

    /// Counts one more allocation of a user, unless `limit` of the user or `total` of all is reached (0: none).
    func admit(user: String, limit: Int, total: Int, at now: Instant) -> Admittance {
        state.withLock { state in
            let count = state.users[user]?.allocations ?? 0
            guard limit == 0 || count < limit else { return .refused(.allocationsPerUser) }
            guard total == 0 || state.allocations < total else { return .refused(.allocationsTotal) }
            state.forgetIdle(at: now)
            state.allocations += 1
            return .admitted(state.join(user).buckets)
        }
    }

    /// Counts one allocation of a user less.
    func dismiss(user: String) {
        state.withLock { state in
            guard let count = state.users[user]?.allocations, count > 0 else {
                preconditionFailure("an allocation ended that was never admitted")
            }
            state.users[user]?.allocations = count - 1
            state.allocations -= 1
            if count == 1 { state.idle.append(user) }
        }
    }

    /// Counts what a plane carried for a user whose allocation is gone.
    func charge(user: String, _ traffic: AllocationTraffic, _ paces: Paces, since: Instant, at now: Instant) {
        state.withLock { state in
            state.users[user]?.meter.buckets.charge(
                traffic, paces, since: since.nanoseconds, at: now.nanoseconds)
        }
    }

    /// Nothing is used up of any user's rate any more.
    func forgetUse() {
        state.withLock { state in
            for user in state.users.values { user.meter.buckets.forget() }
        }
    }

    func reserve(_ token: UInt64, _ reservation: Reservation) {
        state.withLock { $0.reservations[token] = reservation }
    }

    /// Takes a reservation out, if the token is known, the user is the one who made it, and its time has not run out.
    func claim(_ token: UInt64, quotaName: String, at now: Instant) -> Reservation? {
        state.withLock { state in
            guard let found = state.reservations[token], found.quotaName == quotaName, now < found.expires else {
                return nil
            }
            state.reservations[token] = nil
            return found
        }
    }

    /// Takes a reservation out whose time has run out; false if somebody claimed it.
    func lapse(_ token: UInt64) -> Bool {
        state.withLock { $0.reservations.removeValue(forKey: token) != nil }
    }

    /// The ports of all relay addresses so far, these included. An address is never forgotten: cores that have it
    /// would then mark its ports where nobody looks.
    func relayedPorts(on addresses: [RelayAddress]) -> RelayedPorts {
        relayed.withLock { relayed in
            for relay in addresses { relayed.add(relay.address) }
            return relayed
        }
    }

    /// How many ports of a relay address are taken now, of all workers: relayed transport addresses in use, and siblings
    /// that wait for their token.
    public func relayedCount(on address: IPAddress) -> Int {
        // Before the ports in use: a claim makes one of these one of those.
        let reserved = state.withLock { state in state.reservations.values.count { $0.address.ip == address } }
        return reserved + relayed.withLock { $0.count(on: address) }
    }
}

/// Which ports of relay addresses are relayed transport addresses in use, of whichever worker. The addresses are one
/// core's copy, the ports are shared.
struct RelayedPorts: Sendable {
    private var ports: [IPAddress: PortBits] = [:]

    fileprivate mutating func add(_ address: IPAddress) {
        if ports[address] == nil { ports[address] = PortBits() }
    }

    fileprivate func count(on address: IPAddress) -> Int { ports[address]?.count ?? 0 }

    func knows(_ address: IPAddress) -> Bool { ports[address] != nil }

    /// Whether any port of an address is in use.
    func isInUse(_ address: IPAddress) -> Bool { count(on: address) > 0 }

    func contains(_ address: TransportAddress) -> Bool { ports[address.ip]?.contains(address.port) ?? false }

    func mark(_ address: TransportAddress, _ isInUse: Bool) { ports[address.ip]?.set(address.port, isInUse) }
}

/// Names, first in, first out.
private struct IdleQueue {
    private var incoming: [String] = []
    /// The first one is the last.
    private var outgoing: [String] = []

    mutating func append(_ name: String) { incoming.append(name) }

    mutating func popFirst() -> String? {
        if outgoing.isEmpty {
            outgoing = incoming.reversed()
            incoming.removeAll()
        }
        return outgoing.popLast()
    }
}

/// A set of ports that any worker reads without a lock: 8 KiB.
private final class PortBits: Sendable {
    private let words = InlineArray<1024, Atomic<UInt64>> { _ in Atomic(0) }

    /// How many ports are set.
    private let total = Atomic<Int>(0)

    var count: Int { total.load(ordering: .relaxed) }

    func contains(_ port: UInt16) -> Bool {
        words[Int(port >> 6)].load(ordering: .relaxed) & Self.mask(port) != 0
    }

    func set(_ port: UInt16, _ isSet: Bool) {
        if isSet {
            let word = words[Int(port >> 6)].bitwiseOr(Self.mask(port), ordering: .relaxed)
            if word.oldValue != word.newValue { total.add(1, ordering: .relaxed) }
        } else {
            let word = words[Int(port >> 6)].bitwiseAnd(~Self.mask(port), ordering: .relaxed)
            if word.oldValue != word.newValue { total.subtract(1, ordering: .relaxed) }
        }
    }

    private static func mask(_ port: UInt16) -> UInt64 { 1 << UInt64(port & 63) }
}
