import STUN

/// Datagrams in one block of memory, handed out as spans without touching a reference count.
struct Packets: ~Copyable {
    private let base: UnsafeMutableRawPointer
    private let strideBytes: Int
    let count: Int
    private let byteCounts: UnsafeMutablePointer<Int>

    init(_ datagrams: [[UInt8]]) {
        count = datagrams.count
        strideBytes = (datagrams.map(\.count).max() ?? 0) + 64
        base = .allocate(byteCount: strideBytes * max(1, count), alignment: 64)
        byteCounts = .allocate(capacity: max(1, count))
        for (index, bytes) in datagrams.enumerated() {
            byteCounts[index] = bytes.count
            bytes.withUnsafeBytes { bytes in
                guard let start = bytes.baseAddress else { return }
                (base + index * strideBytes).copyMemory(from: start, byteCount: bytes.count)
            }
        }
    }

    deinit {
        base.deallocate()
        byteCounts.deallocate()
    }

    subscript(index: Int) -> RawSpan {
        @_lifetime(borrow self)
        borrowing get {
            let span = RawSpan(_unsafeStart: base + index * strideBytes, byteCount: byteCounts[index])
            return _overrideLifetime(span, borrowing: self)
        }
    }
}

/// The bytes of one message that `write` appends the attributes of.
func encode(
    _ messageClass: MessageClass, _ method: Method, _ id: UInt64, signedWith key: IntegrityKey? = nil,
    _ kind: IntegrityKind = .sha1, _ write: (inout MessageWriter) -> Void
) -> [UInt8] {
    var writer = MessageWriter(capacityBytes: 1024)
    writer.begin(messageClass, method, TransactionID(high: 0, low: id))
    write(&writer)
    let range = if let key { writer.finish(signedWith: key, kind) } else { writer.finish() }
    guard let range else { preconditionFailure("a message of a benchmark is longer than 1,024 bytes") }
    return copy(writer.bytes(range))
}

func copy(_ span: RawSpan) -> [UInt8] {
    (0..<span.byteCount).map { span.unsafeLoad(fromByteOffset: $0, as: UInt8.self) }
}
