// Unsafe because: the packet path needs memory for plain values that is never counted, copied or grown behind its
// back. Every access is checked against the count, and the owner is unique, so nothing outlives it.
public import CPrefetch

/// A fixed count of plain values with checked subscripts, from a cache line on.
@safe @frozen
public struct FixedBuffer<Element: BitwiseCopyable>: ~Copyable {
    @usableFromInline let base: UnsafeMutablePointer<Element>
    public let count: Int

    @inlinable
    public init(repeating value: Element, count: Int) {
        self.count = count
        let raw = UnsafeMutableRawPointer.allocate(
            byteCount: count * MemoryLayout<Element>.stride, alignment: max(64, MemoryLayout<Element>.alignment))
        unsafe base = raw.bindMemory(to: Element.self, capacity: count)
        unsafe base.initialize(repeating: value, count: count)
    }

    @inlinable
    deinit { unsafe base.deallocate() }

    @inlinable
    public subscript(index: Int) -> Element {
        @inline(__always) get {
            precondition(index >= 0 && index < count)
            return unsafe base[index]
        }
        @inline(__always) _modify {
            precondition(index >= 0 && index < count)
            yield unsafe &base[index]
        }
    }

    /// Asks for the line where element `index` begins; harmless for any index.
    @inlinable @inline(__always)
    public func prefetch(_ index: Int) { unsafe cprefetch(base + index) }

    /// A buffer of `newCount` values that begins with these.
    @inlinable
    public func grown(to newCount: Int, filledWith value: Element) -> FixedBuffer {
        let larger = FixedBuffer(repeating: value, count: max(count, newCount))
        unsafe larger.base.update(from: base, count: count)
        return larger
    }
}
