// Unsafe because: `recvmmsg` takes arrays of headers that point to names, vectors and control messages. All of them
// are allocated here, live as long as this value, and are indexed under a check.
public import CLinux
import Glibc

/// The headers for receiving by calls: one for each of some buffers of the packet memory, to which it points for good.
@safe public struct Receiver: ~Copyable {
    /// Buffers of a bank. A plane whose buffers outlive the turn has several banks, and fills one at a time.
    public static let count = 64
    private static let controlByteCount = Int(CLINUX_ARRIVAL_CONTROL_BYTES)

    private let capacity: Int
    private let headers: UnsafeMutablePointer<clinux_message>
    private let vectors: UnsafeMutablePointer<iovec>
    private let names: UnsafeMutablePointer<sockaddr_in6>
    private let controls: UnsafeMutableRawPointer

    /// - Parameters:
    ///   - memory: must live as long as this value.
    ///   - firstBuffer: the first of ``count`` buffers a bank.
    public init(into memory: borrowing PacketMemory, fromBuffer firstBuffer: Int = 0, bankCount: Int = 1) {
        capacity = bankCount * Self.count
        unsafe headers = .allocate(capacity: capacity)
        unsafe vectors = .allocate(capacity: capacity)
        unsafe names = .allocate(capacity: capacity)
        unsafe controls = .allocate(byteCount: capacity * Self.controlByteCount, alignment: 16)
        unsafe names.initialize(repeating: sockaddr_in6(), count: capacity)
        for index in 0..<capacity {
            let buffer = unsafe memory.address(
                of: memory.payloadOffset(ofBuffer: firstBuffer + index), byteCount: PacketMemory.payloadByteCount)
            unsafe (vectors + index).initialize(
                to: iovec(iov_base: buffer, iov_len: PacketMemory.payloadByteCount))
            var header = unsafe clinux_message()
            unsafe header.header.msg_name = UnsafeMutableRawPointer(names + index)
            unsafe header.header.msg_iov = vectors + index
            unsafe header.header.msg_iovlen = 1
            unsafe header.header.msg_control = controls + index * Self.controlByteCount
            unsafe (headers + index).initialize(to: header)
        }
    }

    deinit {
        unsafe headers.deallocate()
        unsafe vectors.deallocate()
        unsafe names.deallocate()
        unsafe controls.deallocate()
    }

    /// Receives at most `limit` messages into the buffers from the one at `first` on, without waiting.
    /// - Returns: how many, or the negated `errno`.
    public mutating func receive(from descriptor: Int32, at first: Int, limit: Int) -> Int {
        precondition(first >= 0 && limit > 0 && first <= capacity - limit)
        for index in first..<first + limit {
            unsafe headers[index].header.msg_namelen = UInt32(MemoryLayout<sockaddr_in6>.size)
            unsafe headers[index].header.msg_controllen = Self.controlByteCount
        }
        return Int(unsafe clinux_receive_batch(descriptor, headers + first, UInt32(limit)))
    }

    /// What came with the message in the buffer at `index`: its source, its control messages, its bytes.
    public func message(
        _ index: Int
    ) -> (source: clinux_address, arrival: clinux_arrival, byteCount: Int, isTruncated: Bool) {
        precondition(index >= 0 && index < capacity)
        let flags = unsafe headers[index].header.msg_flags
        return (
            source: unsafe clinux_read_name(names + index),
            arrival: unsafe clinux_read_control(&headers[index].header),
            byteCount: Int(unsafe headers[index].byte_count),
            isTruncated: flags & Int32(MSG_TRUNC) != 0
        )
    }
}
