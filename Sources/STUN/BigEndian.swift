// Unsafe code: the standard library has no safe way yet to load an integer from a `RawSpan`. The loads below are
// bounds-checked (they trap outside of the span) and only ever produce fixed-width integers, for which every bit
// pattern is a value.

extension RawSpan {
    /// The byte at `offset`, which must be inside.
    @inlinable
    public func byte(at offset: Int) -> UInt8 {
        unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: UInt8.self)
    }

    /// The two bytes from `offset` in network order; both must be inside.
    @inlinable
    public func uint16(at offset: Int) -> UInt16 {
        UInt16(bigEndian: unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: UInt16.self))
    }

    /// The four bytes from `offset` in network order; all must be inside.
    @inlinable
    public func uint32(at offset: Int) -> UInt32 {
        UInt32(bigEndian: unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }

    /// The eight bytes from `offset` in network order; all must be inside.
    @inlinable
    public func uint64(at offset: Int) -> UInt64 {
        UInt64(bigEndian: unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    /// Whether both hold the same bytes. Leaves at the first difference: not for secrets.
    @inlinable
    public func hasSameBytes(as other: RawSpan) -> Bool {
        guard byteCount == other.byteCount else { return false }
        for offset in byteOffsets where byte(at: offset) != other.byte(at: offset) { return false }
        return true
    }
}

extension MutableRawSpan {
    /// Stores `value` in network order at `offset`; all of its bytes must be inside.
    @inlinable @_lifetime(self: copy self)
    public mutating func store<Value: FixedWidthInteger & BitwiseCopyable>(_ value: Value, at offset: Int) {
        storeBytes(of: value.bigEndian, toByteOffset: offset, as: Value.self)
    }
}
