// Unsafe because: the kernel writes a head, a name and control messages in front of the payload of a buffer. They are
// read here, once, within the bounds that the packet memory checks.
import CIOUring
import CLinux
import Glibc
import PlaneKit

/// What the kernel wrote in front of a payload.
struct BufferHead {
    let source: clinux_address
    let arrival: clinux_arrival
    let payloadByteCount: Int
    let isTruncated: Bool

    static let nameByteCount = 32
    /// More than is needed, so that the payload begins with a cache line.
    static let controlByteCount = Int(CLINUX_ARRIVAL_CONTROL_BYTES) + 16
    static let byteCount = MemoryLayout<ciouring_received>.size + nameByteCount + controlByteCount
    /// All that a buffer holds.
    static let bufferByteCount = byteCount + PacketMemory.payloadByteCount

    /// Reads the head of receive buffer `number`, into which the kernel wrote so many bytes in all.
    init(ofBuffer number: Int, in memory: borrowing PacketMemory, byteCount: Int) {
        precondition(byteCount >= Self.byteCount && byteCount <= Self.bufferByteCount)
        let start = unsafe memory.address(of: memory.offset(ofBuffer: number), byteCount: Self.byteCount)
        let head = unsafe start.load(as: ciouring_received.self)
        let name = unsafe start + MemoryLayout<ciouring_received>.size
        var header = unsafe msghdr()
        unsafe header.msg_control = name + Self.nameByteCount
        unsafe header.msg_controllen = min(Int(head.control_byte_count), Self.controlByteCount)
        source =
            head.name_byte_count == 0
            ? clinux_address() : unsafe clinux_read_name(name.assumingMemoryBound(to: sockaddr_in6.self))
        arrival = unsafe clinux_read_control(&header)
        payloadByteCount = byteCount - Self.byteCount
        isTruncated = head.flags & UInt32(MSG_TRUNC) != 0
    }
}
