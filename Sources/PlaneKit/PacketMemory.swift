// Unsafe because: the kernel writes into this memory and reads from it by address. Everybody else names bytes by their
// offset, checked here, so that no pointer is kept beside this value's life.
import CLinux
public import RelayWorker

/// The bytes of received and of own datagrams: receive buffers, then an arena for copies of what the core sends.
///
/// A receive buffer is some bytes in front, then the payload: the longest UDP datagram, or the longest buffer that GRO
/// puts together, fits. The memory is reserved at once and costs nothing until it is touched, so an idle worker stays
/// small.
@safe public struct PacketMemory: ~Copyable {
    public static let payloadByteCount = 65_536
    /// An odd number of cache lines: equal offsets in two buffers fall into different sets of the cache.
    private static let stride = payloadByteCount + 17 * 64
    static let arenaByteCount = 4 * 65_536

    private let base: UnsafeMutableRawPointer
    private let byteCount: Int
    public let bufferCount: Int
    /// Bytes of a buffer in front of the payload.
    public let frontByteCount: Int
    private var arenaUsed = 0

    /// - Parameter frontByteCount: at least the four bytes of a channel header.
    public init(bufferCount: Int, frontByteCount: Int) throws(PlaneError) {
        precondition(frontByteCount >= 4 && frontByteCount <= Self.stride - Self.payloadByteCount)
        self.bufferCount = bufferCount
        self.frontByteCount = frontByteCount
        byteCount = bufferCount * Self.stride + Self.arenaByteCount
        guard let memory = unsafe clinux_reserve_memory(byteCount) else {
            throw PlaneError(
                what: "the plane's packet buffers",
                why: "mmap refused \(byteCount) bytes",
                mend: "Raise the limit of address space (ulimit -v)")
        }
        unsafe base = memory
    }

    deinit { unsafe clinux_free_memory(base, byteCount) }

    /// Where receive buffer `number` begins.
    public func offset(ofBuffer number: Int) -> Int {
        precondition(number >= 0 && number < bufferCount)
        return number * Self.stride
    }

    /// Where the payload in receive buffer `number` begins.
    public func payloadOffset(ofBuffer number: Int) -> Int { offset(ofBuffer: number) + frontByteCount }

    /// The address of `byteCount` bytes from `offset`, for the kernel.
    @unsafe public func address(of offset: Int, byteCount: Int) -> UnsafeMutableRawPointer {
        check(offset, byteCount)
        return unsafe base + offset
    }

    /// The number of the receive buffer in which so many bytes from an address on stand; nothing for other bytes.
    @unsafe func buffer(of address: UnsafeRawPointer, byteCount: Int) -> Int? {
        let offset = unsafe UnsafeRawPointer(base).distance(to: address)
        guard offset >= 0, byteCount >= 0, offset < bufferCount * Self.stride else { return nil }
        let number = offset / Self.stride
        return offset % Self.stride + byteCount <= Self.stride ? number : nil
    }

    @_lifetime(borrow self)
    public func span(at offset: Int, byteCount: Int) -> RawSpan {
        check(offset, byteCount)
        let span = unsafe RawSpan(_unsafeStart: base + offset, byteCount: byteCount)
        return unsafe _overrideLifetime(span, borrowing: self)
    }

    /// Writes a channel header in front of a payload, where a buffer has room.
    func prependChannelHeader(_ channel: UInt16, payloadByteCount: UInt16, beforePayloadAt offset: Int) {
        check(offset - 4, 4)
        let header = UInt32(channel) << 16 | UInt32(payloadByteCount)
        unsafe (base + offset - 4).storeBytes(of: header.bigEndian, as: UInt32.self)
    }

    /// Whether the arena can take `byteCount` bytes more.
    func hasRoom(for byteCount: Int) -> Bool { byteCount <= Self.arenaByteCount - arenaUsed }

    /// Copies bytes into the arena, which has room, and says where they stand until the arena is emptied.
    mutating func copy(_ bytes: RawSpan) -> Int {
        precondition(hasRoom(for: bytes.byteCount))
        let offset = bufferCount * Self.stride + arenaUsed
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
        precondition(offset >= 0 && byteCount >= 0 && offset <= self.byteCount - byteCount)
    }
}
