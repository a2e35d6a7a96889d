// Unsafe code: the entries are one raw allocation that this file alone reads and writes. An array of entries would
// pay a uniqueness check and a bounds check on each access of the packet path. Every index that reaches memory is
// masked by the capacity or checked against it.

internal import CPrefetch

/// A key of a ``FlatTable``: plain bits, compared by value, hashed with a secret.
protocol FlatKey: BitwiseCopyable, Equatable {
    /// A well-mixed hash of every field. Clients and peers choose addresses and ports, so an unknown `seed` is all
    /// that keeps them from filling one run of the table.
    func hash(seed: UInt64) -> UInt64
}

/// An open-addressing hash table for the packet path: linear probing, a power of two of entries in one allocation.
///
/// A removal shifts the following entries back, so there are no tombstones and lookups do not slow down with age.
/// The table doubles when it is 70 % full and never shrinks. It takes ``byteCount`` bytes: the capacity times
/// ``entryByteCount``. Entries start on a cache line, so those of 64 bytes cost one cache line a look.
@safe
struct FlatTable<Key: FlatKey, Value: BitwiseCopyable>: ~Copyable {
    /// The mark "occupied" is the optional itself: it lives in unused bit patterns of the key where the key has any.
    private struct Entry: BitwiseCopyable {
        var key: Key?
        var value: Value
    }

    private var entries: UnsafeMutablePointer<Entry>
    /// The capacity less one.
    private var mask: Int
    private let seed: UInt64
    private let maximumCount: Int
    /// How many keys are present.
    private(set) var count = 0

    /// A table that holds `minimumCapacity` keys before it grows, and `maximumCount` at most.
    init(minimumCapacity: Int, maximumCount: Int = .max, seed: UInt64) {
        precondition(minimumCapacity >= 0 && maximumCount > 0)
        var capacity = 8
        while Self.growthThreshold(capacity) < min(minimumCapacity, maximumCount) { capacity *= 2 }
        self.seed = seed
        self.maximumCount = maximumCount
        mask = capacity - 1
        unsafe entries = Self.allocate(capacity)
    }

    deinit { unsafe entries.deallocate() }

    static var entryByteCount: Int { MemoryLayout<Entry>.stride }

    /// The memory that the entries take.
    var byteCount: Int { (mask + 1) * Self.entryByteCount }

    /// Whether the table holds as many keys as it ever may.
    var isFull: Bool { count >= maximumCount }

    /// The index of `key`'s entry, good until the next insertion or removal.
    @inline(__always)
    func find(_ key: Key) -> Int? {
        var index = home(key)
        while let present = unsafe entries[index].key {
            if present == key { return index }
            index = (index &+ 1) & mask
        }
        return nil
    }

    /// Asks for the cache lines where the search for `key` begins, so that ``find(_:)`` finds them there a little later:
    /// two entries, since a table that is two thirds full looks at 1.8 on average.
    @inline(__always)
    func prefetch(_ key: Key) {
        let index = home(key)
        unsafe cprefetch(entries + index)
        unsafe cprefetch(entries + ((index &+ 1) & mask))
    }

    /// The value in an entry that ``find(_:)`` found.
    subscript(index: Int) -> Value {
        @inline(__always)
        get {
            precondition(index >= 0 && index <= mask)
            return unsafe entries[index].value
        }
        @inline(__always)
        _modify {
            precondition(index >= 0 && index <= mask)
            yield unsafe &entries[index].value
        }
    }

    /// The value of `key`.
    func value(_ key: Key) -> Value? {
        guard let index = find(key) else { return nil }
        return self[index]
    }

    /// Adds a key; false when it is present already, or when the table is full (see ``isFull``).
    mutating func insert(_ key: Key, _ value: Value) -> Bool {
        if find(key) != nil || isFull { return false }
        if count >= Self.growthThreshold(mask + 1) { grow() }
        place(key, value)
        count += 1
        return true
    }

    /// Replaces the value of a key that is present; false when it is not.
    mutating func update(_ key: Key, _ value: Value) -> Bool {
        guard let index = find(key) else { return false }
        self[index] = value
        return true
    }

    /// Removes a key and gives back its value.
    @discardableResult
    mutating func remove(_ key: Key) -> Value? {
        guard var hole = find(key) else { return nil }
        let removed = self[hole]
        var index = hole
        while true {
            index = (index &+ 1) & mask
            guard let moving = unsafe entries[index].key else { break }
            // An entry may move back into the hole unless its home lies behind the hole, on the way to itself.
            let distanceFromHome = (index &- home(moving)) & mask
            let distanceFromHole = (index &- hole) & mask
            guard distanceFromHome >= distanceFromHole else { continue }
            unsafe entries[hole] = entries[index]
            hole = index
        }
        unsafe entries[hole].key = nil
        count -= 1
        return removed
    }

    /// Calls `body` with every key and value, in no order; it must not change the table.
    func forEach(_ body: (Key, Value) -> Void) {
        for index in 0...mask {
            if let key = unsafe entries[index].key { body(key, unsafe entries[index].value) }
        }
    }

    @inline(__always)
    private func home(_ key: Key) -> Int {
        Int(truncatingIfNeeded: key.hash(seed: seed)) & mask
    }

    private func place(_ key: Key, _ value: Value) {
        var index = home(key)
        while unsafe entries[index].key != nil { index = (index &+ 1) & mask }
        unsafe entries[index] = Entry(key: key, value: value)
    }

    private mutating func grow() {
        let (old, oldMask) = unsafe (entries, mask)
        mask = oldMask * 2 + 1
        unsafe entries = Self.allocate(mask + 1)
        for index in 0...oldMask {
            if let key = unsafe old[index].key { place(key, unsafe old[index].value) }
        }
        unsafe old.deallocate()
    }

    /// The number of keys at which a table of `capacity` entries is 70 % full.
    private static func growthThreshold(_ capacity: Int) -> Int { capacity * 7 / 10 }

    /// Empty entries, aligned to cache lines.
    private static func allocate(_ capacity: Int) -> UnsafeMutablePointer<Entry> {
        let raw = UnsafeMutableRawPointer.allocate(
            byteCount: capacity * entryByteCount, alignment: max(64, MemoryLayout<Entry>.alignment))
        let entries = unsafe raw.bindMemory(to: Entry.self, capacity: capacity)
        for index in 0..<capacity {
            // Only the mark is written: the rest of an empty entry is never read.
            unsafe UnsafeMutableRawPointer(entries + index).storeBytes(of: Key?.none, as: Key?.self)
        }
        return unsafe entries
    }
}

// One owner, and nothing inside but bits: moving the table to another thread moves all of it.
extension FlatTable: @unsafe @unchecked Sendable where Key: Sendable, Value: Sendable {}
