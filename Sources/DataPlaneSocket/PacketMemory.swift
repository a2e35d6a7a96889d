// Unsafe because: the kernel writes into this memory and reads from it by address. Everybody else names bytes by their
// offset, checked here, so that no pointer is kept beside this value's life.
import CLinux
import RelayWorker

/// The bytes of received and of own datagrams: receive buffers, then an arena for copies of what the core sends.
///
/// The memory is reserved at once and costs nothing until it is touched, so an idle worker stays small.
@safe struct PacketMemory: ~Copyable {
    static let bufferCount = 64
    /// The longest UDP datagram, or the longest buffer that GRO puts together, fits.
    static let bufferByteCount = 65_536
    /// 17 cache lines more than a buffer: equal offsets in two buffers fall into different sets of the cache.
    private static let stride = bufferByteCount + 17 * 64
    static let arenaByteCount = 4 * 65_536
    private static let arenaStart = bufferCount * stride
    private static let byteCount = arenaStart + arenaByteCount

    private let base: UnsafeMutableRawPointer
    private var arenaUsed = 0

    init() throws(PlaneError) {
        guard let memory = unsafe clinux_reserve_memory(Self.byteCount) else {
            throw PlaneError(
                what: "the socket plane's buffers",
                why: "mmap refused \(Self.byteCount) bytes",
                mend: "Raise the limit of address space (ulimit -v)")
        }
        unsafe base = memory
    }

    deinit { unsafe clinux_free_memory(base, Self.byteCount) }

    /// Where receive buffer `index` begins.
    static func offset(ofBuffer index: Int) -> Int {
        precondition(index >= 0 && index < bufferCount)
        return index * stride
    }

    /// The address of `byteCount` bytes from `offset`, for the kernel.
    @unsafe func address(of offset: Int, byteCount: Int) -> UnsafeMutableRawPointer {
        check(offset, byteCount)
        return unsafe base + offset
    }

    @_lifetime(borrow self)
    func span(at offset: Int, byteCount: Int) -> RawSpan {
        check(offset, byteCount)
        let span = unsafe RawSpan(_unsafeStart: base + offset, byteCount: byteCount)
        return unsafe _overrideLifetime(span, borrowing: self)
    }

    /// Whether the arena can take `byteCount` bytes more.
    func hasRoom(for byteCount: Int) -> Bool { byteCount <= Self.arenaByteCount - arenaUsed }

    /// Copies bytes into the arena, which has room, and says where they stand until the arena is emptied.
    mutating func copy(_ bytes: RawSpan) -> Int {
        precondition(hasRoom(for: bytes.byteCount))
        let offset = Self.arenaStart + arenaUsed
        unsafe bytes.withUnsafeBytes { source in
            if let start = source.baseAddress {
                unsafe (base + offset).copyMemory(from: start, byteCount: source.count)
            }
        }
        arenaUsed += bytes.byteCount
        return offset
    }

    mutating func emptyArena() { arenaUsed = 0 }

    @inline(__always)
    private func check(_ offset: Int, _ byteCount: Int) {
        precondition(offset >= 0 && byteCount >= 0 && offset <= Self.byteCount - byteCount)
    }
}
