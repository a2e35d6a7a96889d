import STUN

extension RawSpan {
    /// A copy on the heap, for what must outlive the datagram.
    func copyBytes() -> [UInt8] {
        var copy: [UInt8] = []
        copy.reserveCapacity(byteCount)
        for offset in byteOffsets { copy.append(byte(at: offset)) }
        return copy
    }

    func hasSameBytes(as bytes: [UInt8]) -> Bool {
        hasSameBytes(as: unsafe bytes.span.bytes)
    }
}
