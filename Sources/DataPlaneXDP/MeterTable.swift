// Unsafe code: the meters are memory that the kernel's program reads and counts in. The pointer comes from `XDPProgram`,
// which outlives the table, and every index comes from the table itself.

import CBPF
import CRelayABI
import RelayCore

/// The number of an element of `relay_meters`: a meter in one direction.
struct MeterIndex: Hashable, Sendable {
    let rawValue: UInt32

    static let none = MeterIndex(rawValue: UInt32(RELAY_NO_METER))
}

/// One use of a meter, or of none: what ``MeterTable/release(_:)`` wants back.
struct HeldMeter: Hashable, Sendable {
    fileprivate let key: MeterTable.Key?
    let index: MeterIndex

    static let none = HeldMeter(key: nil, index: .none)
}

/// The writer's side of `relay_meters`: each meter once a direction, whoever is held to it. An allocation's leads on to
/// its user's. An element that nobody names any more waits, like a slot, until no reader can hold it; a user's before that
/// until nothing of its burst is used up, or a new allocation would bring a new burst.
@safe
struct MeterTable: @unchecked Sendable {
    struct Key: Hashable, Sendable {
        let id: MeterID
        let direction: RelayDirection
    }

    private struct Place {
        let index: MeterIndex
        var limit: RateLimit
        /// The meter that this one leads on to; it is used by this one.
        var next: HeldMeter
        var users: Int
        /// Whether it is a user's.
        let isShared: Bool
    }

    private let memory: UnsafeMutablePointer<relay_meter>
    private let count: Int
    private var places: [Key: Place] = [:]
    private var free: [MeterIndex] = []
    /// Elements from here on were never used.
    private var unused: UInt32 = 1
    private var quarantine: [MeterIndex] = []
    /// Users' meters that nobody uses, and some that are in use again.
    private var idle: [Key] = []

    /// - Parameters:
    ///   - memory: the elements of the map.
    ///   - count: of meters, each of which takes two elements.
    init(_ memory: UnsafeMutablePointer<relay_meter>, count: Int) {
        unsafe self.memory = memory
        self.count = count
    }

    /// Elements in use.
    var usedCount: Int { places.count }

    func index(of key: Key) -> MeterIndex? { places[key]?.index }

    /// The meter that a route's direction begins with, as it is to be from now on.
    /// - Returns: nothing where there is no room for it.
    mutating func hold(_ meters: RouteMeters, _ direction: RelayDirection) -> HeldMeter? {
        let chain = [meters.allocation, meters.user].compactMap { $0 }.filter { !$0.limit.isNone }
        guard let first = chain.first else { return HeldMeter.none }
        let isShared = first == meters.user
        guard !isShared, let user = chain.dropFirst().first else {
            return hold(first, before: .none, direction, isShared: isShared)
        }
        guard let following = hold(user, before: .none, direction, isShared: true) else { return nil }
        return hold(first, before: following, direction, isShared: false)
    }

    private mutating func hold(
        _ meter: RouteMeter, before following: HeldMeter, _ direction: RelayDirection, isShared: Bool
    ) -> HeldMeter? {
        let key = Key(id: meter.id, direction: direction)
        if places[key] != nil {
            change(key, to: meter.limit)
            lead(key, to: following)
        } else {
            guard let index = freshIndex() else {
                release(following)
                return nil
            }
            places[key] = Place(index: index, limit: meter.limit, next: following, users: 0, isShared: isShared)
            unsafe memory[Int(index.rawValue)] = relay_meter(meter.limit, next: following.index)
        }
        places[key]?.users += 1
        return places[key].map { HeldMeter(key: key, index: $0.index) }
    }

    private mutating func freshIndex() -> MeterIndex? {
        if let index = free.popLast() { return index }
        guard unused <= 2 * count else { return nil }
        defer { unused += 1 }
        return MeterIndex(rawValue: unused)
    }

    private mutating func change(_ key: Key, to limit: RateLimit) {
        guard let place = places[key], place.limit != limit else { return }
        let wanted = relay_meter(limit, next: place.next.index)
        let meter = unsafe memory + Int(place.index.rawValue)
        unsafe cbpf_set_limit(&meter.pointee.bytes, wanted.bytes.interval, wanted.bytes.burst)
        unsafe cbpf_set_limit(&meter.pointee.packets, wanted.packets.interval, wanted.packets.burst)
        places[key]?.limit = limit
    }

    /// The meter that was led to before is given back. The one now stays used once.
    private mutating func lead(_ key: Key, to next: HeldMeter) {
        guard let place = places[key] else { return }
        if place.next != next { unsafe cbpf_set_next_meter(memory + Int(place.index.rawValue), next.index.rawValue) }
        places[key]?.next = next
        release(place.next)
    }

    /// Ends one use. With the last one the element waits until no reader can still look at it.
    mutating func release(_ held: HeldMeter) {
        guard let key = held.key, let place = places[key] else { return }
        guard place.users == 1 else {
            places[key]?.users -= 1
            return
        }
        if place.isShared, !isFull(place.index, at: 0) {
            places[key]?.users = 0
            idle.append(key)
        } else {
            forget(key, place)
        }
    }

    private mutating func forget(_ key: Key, _ place: Place) {
        places[key] = nil
        quarantine.append(place.index)
        release(place.next)
    }

    /// Whether nothing of the bursts is used up any more.
    private func isFull(_ index: MeterIndex, at now: UInt64) -> Bool {
        let meter = unsafe memory[Int(index.rawValue)]
        return meter.bytes.until <= now && meter.packets.until <= now
    }

    /// Whether the element of a meter, and that of the next one, limit as they should.
    func isIntact(_ held: HeldMeter) -> Bool {
        guard let key = held.key else { return true }
        guard let place = places[key] else { return false }
        let wanted = relay_meter(place.limit, next: place.next.index)
        let found = unsafe memory[Int(place.index.rawValue)]
        return found.next == wanted.next && found.bytes.limits(as: wanted.bytes)
            && found.packets.limits(as: wanted.packets) && isIntact(place.next)
    }

    // MARK: Memory that readers may still look at

    /// - Parameter now: in nanoseconds of the monotonic clock, as the program counts.
    mutating func takeQuarantined(at now: UInt64) -> [MeterIndex] {
        let waiting = idle
        idle = []
        for key in waiting {
            guard let place = places[key], place.users == 0 else { continue }
            if isFull(place.index, at: now) { forget(key, place) } else { idle.append(key) }
        }
        defer { quarantine = [] }
        return quarantine
    }

    mutating func sweep(_ indices: [MeterIndex]) { free += indices }
}

extension relay_meter {
    /// A meter of which nothing is used up.
    init(_ limit: RateLimit, next: MeterIndex) {
        let paces = Paces(limit)
        self.init()
        bytes = relay_bucket(paces.bytes)
        packets = relay_bucket(paces.packets)
        self.next = next.rawValue
    }
}

extension relay_bucket {
    init(_ pace: Pace) {
        self.init()
        // Without a limit the program asks for the interval alone.
        interval = pace.interval
        burst = pace.burstNanoseconds
    }

    /// Whether both are the same limit, whatever is used up.
    func limits(as other: relay_bucket) -> Bool { interval == other.interval && burst == other.burst }
}
