// Unsafe code: all workers count a user's traffic in the same words, for every datagram, so these lie in memory that is
// reached without a reference count. The meter owns them; the ledger keeps a meter while an allocation of its user lives.
import Synchronization

/// The buckets of one user, of all workers together.
@safe
final class UserMeter: @unchecked Sendable {
    let buckets: UserBuckets

    init(id: MeterID) { buckets = UserBuckets(id: id) }

    deinit { buckets.deallocate() }

    /// Whether every bucket is full again, so that nothing is lost with the meter.
    func isFull(at now: Instant) -> Bool { buckets.isFull(at: now.nanoseconds) }
}

/// Where the buckets of a ``UserMeter`` are; good while that lives.
@safe
struct UserBuckets: BitwiseCopyable, @unchecked Sendable {
    /// A cache line: times of bytes and datagrams to peers and to clients, then the meter's number.
    private static let cellCount = 8
    private static let idCell = 4
    private let cells: UnsafeMutablePointer<Atomic<UInt64>>

    fileprivate init(id: MeterID) {
        let raw = UnsafeMutableRawPointer.allocate(
            byteCount: Self.cellCount * MemoryLayout<UInt64>.size, alignment: 64)
        unsafe cells = raw.bindMemory(to: Atomic<UInt64>.self, capacity: Self.cellCount)
        for index in 0..<Self.cellCount {
            unsafe (cells + index).initialize(to: Atomic(index == Self.idCell ? id.rawValue : 0))
        }
    }

    fileprivate func deallocate() { unsafe cells.deallocate() }

    var id: MeterID { MeterID(rawValue: load(Self.idCell)) }

    /// Counts one datagram, unless it is faster than a pace lets it: then it counts in neither bucket.
    @inline(__always)
    func take(_ direction: RelayDirection, _ byteCount: UInt64, _ paces: Paces, at now: UInt64) -> Bool {
        let cell = 2 * direction.rawValue
        guard advance(cell, paces.bytes, byteCount, at: now) else { return false }
        guard advance(cell + 1, paces.packets, 1, at: now) else {
            // Exact, whoever else counted meanwhile, unless the bucket became full in between, or was forgotten.
            let increment = (byteCount &* paces.bytes.interval) >> 16
            update(cell) { $0 >= increment ? $0 - increment : 0 }
            return false
        }
        return true
    }

    /// Counts what passed elsewhere between `since` and now, in both directions.
    func charge(_ traffic: AllocationTraffic, _ paces: Paces, since: UInt64, at now: UInt64) {
        guard !paces.isNone else { return }
        for direction in [RelayDirection.toPeer, .toClient] {
            let (bytes, packets) = traffic.amount(direction)
            charge(direction, byteCount: bytes, packetCount: packets, paces, since: since, at: now)
        }
    }

    func charge(
        _ direction: RelayDirection, byteCount: UInt64, packetCount: UInt64, _ paces: Paces, since: UInt64,
        at now: UInt64
    ) {
        let cell = 2 * direction.rawValue
        update(cell) { paces.bytes.charged($0, byteCount, since: since, at: now) }
        update(cell + 1) { paces.packets.charged($0, packetCount, since: since, at: now) }
    }

    /// Nothing is used up any more.
    func forget() {
        for cell in 0..<Self.idCell { unsafe cells[cell].store(0, ordering: .relaxed) }
    }

    fileprivate func isFull(at now: UInt64) -> Bool { (0..<Self.idCell).allSatisfy { load($0) <= now } }

    private func load(_ cell: Int) -> UInt64 { unsafe cells[cell].load(ordering: .relaxed) }

    @inline(__always)
    private func advance(_ cell: Int, _ pace: Pace, _ amount: UInt64, at now: UInt64) -> Bool {
        guard pace.interval != 0 else { return true }
        var time = load(cell)
        while true {
            guard let next = pace.next(time, amount, at: now) else { return false }
            let (isExchanged, found) = unsafe cells[cell].weakCompareExchange(
                expected: time, desired: next, ordering: .relaxed)
            if isExchanged { return true }
            time = found
        }
    }

    private func update(_ cell: Int, _ change: (UInt64) -> UInt64) {
        var time = load(cell)
        while true {
            let (isExchanged, found) = unsafe cells[cell].weakCompareExchange(
                expected: time, desired: change(time), ordering: .relaxed)
            if isExchanged { return }
            time = found
        }
    }
}
