public import RelayCore
public import STUN

/// One buffer that the kernel filled: a datagram, or several of one flow that GRO put together.
public struct Message: BitwiseCopyable {
    public var slot = SocketSlot(index: 0)
    public var source = TransportAddress(IPAddress(v4: 0), port: 0)
    public var destination: IPAddress?
    /// Where the payload begins, from the beginning of the packet memory.
    public var offset = 0
    public var byteCount = 0
    /// Bytes of every datagram in the buffer but the last, which may be shorter; 0 for a buffer that is one datagram.
    public var segmentByteCount = 0
    /// DSCP and ECN.
    public var trafficClass: UInt8 = 0
    /// False where nothing is to be presented: unreadable, cut off, or of a socket that has gone.
    public var isLive = false

    @inlinable
    public init() {}

    public var datagramCount: Int {
        guard segmentByteCount > 0, byteCount > segmentByteCount else { return 1 }
        return (byteCount + segmentByteCount - 1) / segmentByteCount
    }
}

/// One datagram of the batch: some bytes of a message.
@frozen
public struct Datagram: BitwiseCopyable {
    /// The number of the buffer.
    public var message = 0
    /// From the beginning of the packet memory.
    public var offset = 0
    public var byteCount = 0
    /// Whether what stands in front of it is free to be written: true for the first datagram of a buffer.
    public var hasHeadroom = false

    @inlinable
    public init() {}
}

/// The batch that stands before the worker: at most 64 datagrams of the buffers that were filled.
public struct Presentation: ~Copyable {
    public static var capacity: Int { 64 }

    /// By the number of the buffer.
    @usableFromInline var messages: FixedBuffer<Message>
    @usableFromInline var datagrams = FixedBuffer(repeating: Datagram(), count: Presentation.capacity)
    public private(set) var count = 0

    /// - Parameter bufferCount: of the packet memory.
    public init(bufferCount: Int) { messages = FixedBuffer(repeating: Message(), count: bufferCount) }

    /// What is in a buffer.
    @inlinable
    public subscript(buffer number: Int) -> Message {
        @inline(__always) get { messages[number] }
        @inline(__always) _modify { yield &messages[number] }
    }

    /// Ends the batch.
    public mutating func removeAll() { count = 0 }

    /// Presents some datagrams of a buffer, for which there must be room.
    public mutating func append(_ range: Range<Int>, ofBuffer number: Int) {
        let message = messages[number]
        for index in range {
            let start = index * message.segmentByteCount
            let remaining = message.byteCount - start
            var datagram = Datagram()
            datagram.message = number
            datagram.offset = message.offset + start
            datagram.byteCount =
                message.segmentByteCount == 0 ? remaining : min(remaining, message.segmentByteCount)
            datagram.hasHeadroom = index == 0
            datagrams[count] = datagram
            count += 1
        }
    }

    /// Datagram `index` of those that are presented.
    @inlinable @inline(__always)
    public func datagram(_ index: Int) -> Datagram {
        precondition(index >= 0 && index < count)
        return datagrams[index]
    }

    @inlinable @inline(__always)
    public func message(of index: Int) -> Message { messages[datagram(index).message] }
}
