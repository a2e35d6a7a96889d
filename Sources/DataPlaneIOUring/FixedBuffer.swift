// Unsafe because: the packet path needs memory for plain values that is never counted, copied or grown behind its
// back. Every access is checked against the count, and the owner is unique, so nothing outlives it.

/// A fixed count of plain values with checked subscripts.
@safe struct FixedBuffer<Element: BitwiseCopyable>: ~Copyable {
    private let base: UnsafeMutablePointer<Element>
    let count: Int

    init(repeating value: Element, count: Int) {
        self.count = count
        unsafe base = .allocate(capacity: count)
        unsafe base.initialize(repeating: value, count: count)
    }

    deinit { unsafe base.deallocate() }

    subscript(index: Int) -> Element {
        @inline(__always) get {
            precondition(index >= 0 && index < count)
            return unsafe base[index]
        }
        @inline(__always) _modify {
            precondition(index >= 0 && index < count)
            yield unsafe &base[index]
        }
    }

    /// A buffer of `newCount` values that begins with these.
    func grown(to newCount: Int, filledWith value: Element) -> FixedBuffer {
        let larger = FixedBuffer(repeating: value, count: max(count, newCount))
        unsafe larger.base.update(from: base, count: count)
        return larger
    }
}
