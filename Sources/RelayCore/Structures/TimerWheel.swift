/// Every timer of a core: a hashed wheel of 16,384 slots of 256 ms.
///
/// An entry is a token and the instant at which it is due. ``popDue(_:)`` never returns an entry early and returns
/// it at most one tick (256 ms) late. There is no cancellation: the owner knows which tokens still mean something,
/// and schedules one again if it fired for something that was renewed meanwhile.
///
/// Scheduling and popping are O(1); a jump of the clock costs at most one look at each occupied slot. An entry due
/// beyond the horizon of 4,194 s waits in the last slot and is hung again from there. A pending entry takes 24
/// bytes; the wheel itself 66 KB.
struct TimerWheel: ~Copyable {
    static let tickMilliseconds: UInt64 = 256

    private static let tickNanoseconds: UInt64 = tickMilliseconds * 1_000_000
    private static let slotCount = 16_384

    private struct Node {
        var token: UInt64
        var due: Instant
        /// The following node of a ring, or of the list of free nodes.
        var next: UInt32
    }

    private static let none = UInt32.max

    private var nodes: [Node] = []
    private var freeHead = TimerWheel.none
    /// Each slot is a ring in order of arrival, held by its last node, so that two rings join in O(1).
    private var slotTails = [UInt32](repeating: TimerWheel.none, count: TimerWheel.slotCount)
    private var occupied = OccupiedSlots()
    /// A ring of the nodes that have left their slots and wait to be popped.
    private var readyTail = TimerWheel.none
    /// The latest instant that ``popDue(_:)`` was given.
    private var now: Instant
    /// Every pending tick up to here has been moved to the ready ring; slots hold ticks after it, up to the horizon.
    private var tick: UInt64
    /// How many entries are pending, stale ones included.
    private(set) var count = 0

    /// An empty wheel whose clock stands at `start`.
    init(start: Instant = Instant(nanoseconds: 0)) {
        now = start
        tick = start.nanoseconds / Self.tickNanoseconds
    }

    /// The next instant at which ``popDue(_:)`` may have something: never after the first entry is due for popping.
    var deadline: Instant? {
        if readyTail != Self.none { return now }
        guard let distance = occupied.distance(from: Self.slot(tick + 1)) else { return nil }
        return Instant(nanoseconds: (tick + 1 + UInt64(distance)) &* Self.tickNanoseconds)
    }

    /// Adds an entry; one that is due already is popped by the next ``popDue(_:)``.
    mutating func schedule(_ token: UInt64, at due: Instant) {
        hang(takeNode(Node(token: token, due: due, next: Self.none)))
        count += 1
    }

    /// Takes one entry that is due at `now`: earlier ticks first and, within a tick, as they were scheduled. Entries that
    /// waited beyond the horizon may come out of turn, never early.
    mutating func popDue(_ now: Instant) -> UInt64? {
        advance(to: max(now, self.now))
        while let node = popReady() {
            // What waited beyond the horizon goes back, behind the tick that it came from.
            guard nodes[Int(node)].due <= self.now else {
                hang(node)
                continue
            }
            count -= 1
            return giveBack(node)
        }
        return nil
    }

    /// Moves every slot up to `now` to the ready ring: at most one revolution, empty slots skipped.
    private mutating func advance(to now: Instant) {
        self.now = now
        let target = now.nanoseconds / Self.tickNanoseconds
        while tick < target {
            guard let distance = occupied.distance(from: Self.slot(tick + 1)),
                tick + 1 + UInt64(distance) <= target
            else {
                tick = target
                return
            }
            tick += 1 + UInt64(distance)
            let slot = Self.slot(tick)
            Self.join(slotTails[slot], to: &readyTail, in: &nodes)
            slotTails[slot] = Self.none
            occupied.remove(slot)
        }
    }

    /// Links a node into the slot of the first tick that is not before it is due.
    private mutating func hang(_ node: UInt32) {
        let due = nodes[Int(node)].due.nanoseconds
        let dueTick = due / Self.tickNanoseconds + (due % Self.tickNanoseconds == 0 ? 0 : 1)
        nodes[Int(node)].next = node
        guard dueTick > tick else {
            Self.join(node, to: &readyTail, in: &nodes)
            return
        }
        let slot = Self.slot(min(dueTick, tick + UInt64(Self.slotCount) - 1))
        Self.join(node, to: &slotTails[slot], in: &nodes)
        occupied.insert(slot)
    }

    private static func slot(_ tick: UInt64) -> Int {
        Int(truncatingIfNeeded: tick) & (slotCount - 1)
    }

    /// Appends the ring that ends in `other` to the ring that ends in `tail`.
    private static func join(_ other: UInt32, to tail: inout UInt32, in nodes: inout [Node]) {
        if tail != none {
            let first = nodes[Int(tail)].next
            nodes[Int(tail)].next = nodes[Int(other)].next
            nodes[Int(other)].next = first
        }
        tail = other
    }

    private mutating func popReady() -> UInt32? {
        guard readyTail != Self.none else { return nil }
        let first = nodes[Int(readyTail)].next
        if first == readyTail {
            readyTail = Self.none
        } else {
            nodes[Int(readyTail)].next = nodes[Int(first)].next
        }
        return first
    }

    private mutating func takeNode(_ node: Node) -> UInt32 {
        guard freeHead != Self.none else {
            precondition(nodes.count < Int(Self.none), "more timers than a wheel can name")
            nodes.append(node)
            return UInt32(nodes.count - 1)
        }
        let index = freeHead
        freeHead = nodes[Int(index)].next
        nodes[Int(index)] = node
        return index
    }

    private mutating func giveBack(_ index: UInt32) -> UInt64 {
        nodes[Int(index)].next = freeHead
        freeHead = index
        return nodes[Int(index)].token
    }
}

/// Which of the 16,384 slots hold something: a bit a slot, and above it a bit for each word of those.
private struct OccupiedSlots {
    private static let wordCount = 256

    private var words = [UInt64](repeating: 0, count: OccupiedSlots.wordCount)
    private var summary = InlineArray<4, UInt64>(repeating: 0)

    mutating func insert(_ slot: Int) {
        let word = slot >> 6
        words[word] |= 1 << UInt64(slot & 63)
        summary[word >> 6] |= 1 << UInt64(word & 63)
    }

    mutating func remove(_ slot: Int) {
        let word = slot >> 6
        words[word] &= ~(1 << UInt64(slot & 63))
        if words[word] == 0 { summary[word >> 6] &= ~(1 << UInt64(word & 63)) }
    }

    /// How far the first occupied slot is from `slot`, going up and round; nothing when no slot is occupied.
    func distance(from slot: Int) -> Int? {
        let word = slot >> 6
        let rest = words[word] >> UInt64(slot & 63)
        if rest != 0 { return rest.trailingZeroBitCount }
        guard let found = firstWord(after: word) ?? firstWord(after: -1) else { return nil }
        let occupied = found * 64 + words[found].trailingZeroBitCount
        return (occupied - slot) & (Self.wordCount * 64 - 1)
    }

    /// The first word behind `word` with a slot in it.
    private func firstWord(after word: Int) -> Int? {
        let start = word + 1
        for group in (start >> 6)..<4 {
            let skipped = group == start >> 6 ? UInt64(start & 63) : 0
            let bits = (summary[group] >> skipped) << skipped
            if bits != 0 { return group * 64 + bits.trailingZeroBitCount }
        }
        return nil
    }
}
