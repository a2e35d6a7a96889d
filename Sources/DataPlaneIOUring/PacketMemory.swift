// Unsafe because: the kernel writes into this memory and reads from it by address. Everybody else names bytes by their
// offset, checked here, so that no pointer is kept beside this value's life.
import CIOUring
import CLinux
import Glibc
import RelayWorker
import STUN

/// Whose datagrams a buffer holds. A flood on relay sockets must not take the listeners' buffers, nor the other way.
enum BufferGroup: Int, BitwiseCopyable {
    case listeners = 0
    case relays = 1
}

/// What came with a received datagram.
struct Received {
    let source: clinux_address
    let arrival: clinux_arrival
    /// Where the payload begins, from the beginning of the packet memory.
    let offset: Int
    let byteCount: Int
    let isTruncated: Bool
}

/// The bytes of received and of own datagrams: receive buffers of both groups, then an arena for copies of what the core
/// sends.
///
/// The memory is reserved at once and costs nothing until it is touched, so an idle worker stays small.
@safe struct PacketMemory: ~Copyable {
    /// Buffers a group. The kernel takes them in turn, so every one of them is touched sooner or later.
    static let groupBufferCount = 256
    static let bufferCount = 2 * groupBufferCount
    static let nameByteCount = 32
    static let controlByteCount = Int(CLINUX_ARRIVAL_CONTROL_BYTES)
    private static let payloadStart = MemoryLayout<ciouring_received>.size + nameByteCount + controlByteCount
    /// The longest UDP datagram, or the longest buffer that GRO puts together, fits behind what is told about it.
    static let bufferByteCount = payloadStart + 65_536
    /// An odd number of cache lines: equal offsets in two buffers fall into different sets of the cache.
    private static let stride = 65_536 + 17 * 64
    static let arenaByteCount = 4 * 65_536
    private static let arenaStart = bufferCount * stride
    private static let byteCount = arenaStart + arenaByteCount

    private let base: UnsafeMutableRawPointer
    private var arenaUsed = 0

    init() throws(PlaneError) {
        guard let memory = unsafe clinux_reserve_memory(Self.byteCount) else {
            throw PlaneError(
                what: "the io_uring plane's buffers",
                why: "mmap refused \(Self.byteCount) bytes",
                mend: "Raise the limit of address space (ulimit -v)")
        }
        unsafe base = memory
    }

    deinit { unsafe clinux_free_memory(base, Self.byteCount) }

    static func group(ofBuffer number: Int) -> BufferGroup { number < groupBufferCount ? .listeners : .relays }

    /// Where the payload in receive buffer `number` begins.
    static func payloadOffset(ofBuffer number: Int) -> Int {
        precondition(number >= 0 && number < bufferCount)
        return number * stride + payloadStart
    }

    /// The address of receive buffer `number`, for the kernel.
    @unsafe func buffer(_ number: Int) -> UnsafeMutableRawPointer {
        precondition(number >= 0 && number < Self.bufferCount)
        return unsafe base + number * Self.stride
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

    /// Reads what the kernel wrote into receive buffer `number`, `byteCount` bytes in all.
    func received(inBuffer number: Int, byteCount: Int) -> Received {
        precondition(byteCount >= Self.payloadStart && byteCount <= Self.bufferByteCount)
        let start = unsafe buffer(number)
        let head = unsafe start.load(as: ciouring_received.self)
        let name = unsafe start + MemoryLayout<ciouring_received>.size
        var header = unsafe msghdr()
        unsafe header.msg_control = name + Self.nameByteCount
        unsafe header.msg_controllen = min(Int(head.control_byte_count), Self.controlByteCount)
        return Received(
            source: head.name_byte_count == 0
                ? clinux_address() : unsafe clinux_read_name(name.assumingMemoryBound(to: sockaddr_in6.self)),
            arrival: unsafe clinux_read_control(&header),
            offset: Self.payloadOffset(ofBuffer: number),
            byteCount: byteCount - Self.payloadStart,
            isTruncated: head.flags & UInt32(MSG_TRUNC) != 0)
    }

    /// Writes a channel header in front of the payload of a buffer, over what was told about it and is read by now.
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
