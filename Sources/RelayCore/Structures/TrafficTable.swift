// Unsafe code: the packet path adds to one of these for every datagram, at 10,000 channels from memory that no cache
// holds, so the table must be able to ask for a line ahead of its use. Every index is checked against the capacity.
internal import CPrefetch

/// What each channel carried, by its route. Two entries share a cache line, none straddles two.
@safe
struct TrafficTable: ~Copyable {
    private static let alignment = 64

    private var entries: UnsafeMutablePointer<AllocationTraffic>
    private var capacity = 64

    init() { unsafe entries = Self.allocate(capacity) }

    deinit { unsafe entries.deallocate() }

    subscript(route: RouteID) -> AllocationTraffic {
        @inline(__always) get {
            precondition(Int(route.index) < capacity)
            return unsafe entries[Int(route.index)]
        }
        @inline(__always) _modify {
            precondition(Int(route.index) < capacity)
            yield unsafe &entries[Int(route.index)]
        }
    }

    /// Asks for the line of `route`, which is counted a little later.
    @inline(__always)
    func prefetch(_ route: RouteID) { unsafe cprefetch(entries + Int(route.index)) }

    /// Starts a new channel at zero, with room for it.
    mutating func reset(_ route: RouteID) {
        while Int(route.index) >= capacity { grow() }
        self[route] = AllocationTraffic()
    }

    private mutating func grow() {
        let old = unsafe entries
        unsafe entries = Self.allocate(2 * capacity)
        unsafe entries.update(from: old, count: capacity)
        capacity *= 2
        unsafe old.deallocate()
    }

    private static func allocate(_ capacity: Int) -> UnsafeMutablePointer<AllocationTraffic> {
        let raw = UnsafeMutableRawPointer.allocate(
            byteCount: capacity * MemoryLayout<AllocationTraffic>.stride, alignment: alignment)
        let entries = unsafe raw.bindMemory(to: AllocationTraffic.self, capacity: capacity)
        unsafe entries.initialize(repeating: AllocationTraffic(), count: capacity)
        return unsafe entries
    }
}

// One owner, and nothing inside but bits: moving the table to another thread moves all of it.
extension TrafficTable: @unsafe @unchecked Sendable {}
