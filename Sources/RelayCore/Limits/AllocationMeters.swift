// Unsafe code: with limits set, the packet path counts every datagram here, at 10,000 sessions in memory that no cache
// holds, so the table must be able to ask for a line ahead of its use. Every index is checked against the capacity.
internal import CPrefetch

/// The meters of the allocations, by the place of the allocation, and whose meter each route counts in.
@safe
struct AllocationMeters: ~Copyable {
    private var meters: UnsafeMutablePointer<AllocationMeter>
    private var meterCapacity = 0
    private var owners: UnsafeMutablePointer<UInt32>
    private var ownerCapacity = 0

    init() {
        unsafe meters = Self.allocate(AllocationMeter.self, 0)
        unsafe owners = Self.allocate(UInt32.self, 0)
    }

    deinit {
        unsafe meters.deallocate()
        unsafe owners.deallocate()
    }

    /// The meter of an allocation that was given one.
    subscript(allocation: UInt32) -> AllocationMeter {
        @inline(__always) get {
            precondition(Int(allocation) < meterCapacity)
            return unsafe meters[Int(allocation)]
        }
        @inline(__always) _modify {
            precondition(Int(allocation) < meterCapacity)
            yield unsafe &meters[Int(allocation)]
        }
    }

    /// The allocation of a route.
    @inline(__always)
    func owner(of route: RouteID) -> UInt32 {
        precondition(Int(route.index) < ownerCapacity)
        return unsafe owners[Int(route.index)]
    }

    /// Asks for the line that a datagram of `route` is counted in a little later.
    @inline(__always)
    func prefetch(_ route: RouteID) { unsafe cprefetch(meters + Int(owner(of: route))) }

    /// Begins a new allocation with full buckets.
    mutating func begin(_ allocation: UInt32, _ meter: AllocationMeter) {
        if Int(allocation) >= meterCapacity {
            unsafe meters = Self.grow(meters, &meterCapacity, toHold: Int(allocation), filledWith: meter)
        }
        self[allocation] = meter
    }

    /// Has a route count in the meter of its allocation.
    mutating func assign(_ route: RouteID, to allocation: UInt32) {
        precondition(Int(allocation) < meterCapacity)
        if Int(route.index) >= ownerCapacity {
            unsafe owners = Self.grow(owners, &ownerCapacity, toHold: Int(route.index), filledWith: 0)
        }
        unsafe owners[Int(route.index)] = allocation
    }

    private static func grow<Element: BitwiseCopyable>(
        _ old: UnsafeMutablePointer<Element>, _ capacity: inout Int, toHold index: Int, filledWith filling: Element
    ) -> UnsafeMutablePointer<Element> {
        var wanted = max(64, capacity)
        while wanted <= index { wanted *= 2 }
        let new = unsafe allocate(Element.self, wanted)
        unsafe new.update(from: old, count: capacity)
        unsafe (new + capacity).initialize(repeating: filling, count: wanted - capacity)
        unsafe old.deallocate()
        capacity = wanted
        return unsafe new
    }

    private static func allocate<Element: BitwiseCopyable>(
        _ type: Element.Type, _ capacity: Int
    ) -> UnsafeMutablePointer<Element> {
        let raw = UnsafeMutableRawPointer.allocate(byteCount: capacity * MemoryLayout<Element>.stride, alignment: 64)
        return unsafe raw.bindMemory(to: type, capacity: capacity)
    }
}

// One owner, and nothing inside but bits: moving the table to another thread moves all of it.
extension AllocationMeters: @unsafe @unchecked Sendable {}
