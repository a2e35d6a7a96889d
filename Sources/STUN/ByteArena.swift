// Unsafe code: owns memory by pointer. An array would do, but its storage is reference counted, and the messages that
// are written for relayed data must not touch a count. Every access is bounds-checked.

/// A block of bytes that is allocated once and freed with its owner.
@safe
struct ByteArena: ~Copyable, @unchecked Sendable {
    private let base: UnsafeMutableRawPointer
    let byteCount: Int

    /// All bytes are zero.
    init(byteCount: Int) {
        unsafe base = .allocate(byteCount: byteCount, alignment: 16)
        unsafe base.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
        self.byteCount = byteCount
    }

    deinit { unsafe base.deallocate() }

    /// The bytes of `range`, which must be inside.
    @_lifetime(borrow self)
    borrowing func bytes(_ range: Range<Int>) -> RawSpan {
        let all = unsafe RawSpan(_unsafeStart: base, byteCount: byteCount)
        return unsafe _overrideLifetime(all.extracting(range), borrowing: self)
    }

    /// Stores `value` in network order at `offset`; all of its bytes must be inside.
    mutating func store<Value: FixedWidthInteger & BitwiseCopyable>(_ value: Value, at offset: Int) {
        check(offset, MemoryLayout<Value>.size)
        unsafe base.storeBytes(of: value.bigEndian, toByteOffset: offset, as: Value.self)
    }

    /// Copies `source` to `offset`; it must fit.
    mutating func copy(_ source: RawSpan, to offset: Int) {
        check(offset, source.byteCount)
        unsafe source.withUnsafeBytes { source in
            guard let start = source.baseAddress else { return }
            unsafe (base + offset).copyMemory(from: start, byteCount: source.count)
        }
    }

    private func check(_ offset: Int, _ size: Int) {
        precondition(offset >= 0 && offset <= byteCount - size, "Outside of the arena")
    }
}
