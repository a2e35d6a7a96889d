// Unsafe because: `sendmmsg` takes arrays of headers that point to names and vectors. All of them are allocated here,
// live as long as this value, and are indexed under a check; payloads are gathered from where they stand in the packet
// memory, which outlives the call.
import CLinux
import Glibc
import RelayWorker
import STUN

/// Single datagrams of many relay sockets that leave by one call: a raw socket takes each with its own source port.
@safe struct RawTransmitter: ~Copyable {
    static let capacity = SendQueue.capacity

    private let headers: UnsafeMutablePointer<clinux_message>
    private let vectors: UnsafeMutablePointer<iovec>
    private let names: UnsafeMutablePointer<sockaddr_in6>
    private let frames: UnsafeMutableRawPointer
    private(set) var count = 0

    init() {
        unsafe headers = .allocate(capacity: Self.capacity)
        unsafe vectors = .allocate(capacity: 2 * Self.capacity)
        unsafe names = .allocate(capacity: Self.capacity)
        unsafe frames = .allocate(byteCount: Self.capacity * RawFrame.largestHeaderByteCount, alignment: 16)
        unsafe headers.initialize(repeating: clinux_message(), count: Self.capacity)
        unsafe vectors.initialize(repeating: iovec(), count: 2 * Self.capacity)
        unsafe names.initialize(repeating: sockaddr_in6(), count: Self.capacity)
        unsafe frames.initializeMemory(
            as: UInt8.self, repeating: 0, count: Self.capacity * RawFrame.largestHeaderByteCount)
    }

    deinit {
        unsafe headers.deallocate()
        unsafe vectors.deallocate()
        unsafe names.deallocate()
        unsafe frames.deallocate()
    }

    /// Appends one datagram; there must be room.
    mutating func append(
        _ frame: RawFrame, payloadAt offset: Int, byteCount: Int, in memory: borrowing PacketMemory
    ) {
        precondition(count < Self.capacity)
        let place = unsafe frames + count * RawFrame.largestHeaderByteCount
        var header = unsafe MutableRawSpan(_unsafeStart: place, byteCount: RawFrame.largestHeaderByteCount)
        frame.write(memory.span(at: offset, byteCount: byteCount), to: &header)
        let parts = unsafe vectors + 2 * count
        // A raw IPv6 socket takes a port for a protocol number.
        let nameByteCount = unsafe clinux_write_name(clinux_address(frame.destination.ip, port: 0), names + count)
        unsafe headers[count].header.msg_name = UnsafeMutableRawPointer(names + count)
        unsafe headers[count].header.msg_namelen = nameByteCount
        unsafe headers[count].header.msg_iov = parts
        unsafe headers[count].header.msg_iovlen = 2
        unsafe parts[0] = iovec(iov_base: place, iov_len: frame.headerByteCount)
        unsafe parts[1] = iovec(iov_base: memory.address(of: offset, byteCount: byteCount), iov_len: byteCount)
        count += 1
    }

    /// Sends from datagram `first` on by a raw socket, in order, without waiting.
    /// - Returns: how many the kernel took; fewer than are left means that it refused the one after them.
    func transmit(from first: Int, by descriptor: Int32) -> Int {
        precondition(first >= 0 && first < count)
        let result = unsafe clinux_send_batch(descriptor, headers + first, UInt32(count - first))
        return max(0, Int(result))
    }

    mutating func removeAll() { count = 0 }
}
