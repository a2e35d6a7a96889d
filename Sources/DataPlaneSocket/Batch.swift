import RelayCore
import RelayWorker
import STUN

/// One buffer that the kernel filled: a datagram, or several of one flow that GRO put together.
struct Message: BitwiseCopyable {
    var slot = SocketSlot(index: 0)
    var source = TransportAddress(IPAddress(v4: 0), port: 0)
    var destination: IPAddress?
    var byteCount = 0
    /// Bytes of every datagram in the buffer but the last, which may be shorter; 0 for a buffer that is one datagram.
    var segmentByteCount = 0
    /// DSCP and ECN.
    var trafficClass: UInt8 = 0
    /// False where nothing is to be presented: unreadable, cut off, or of a socket that has gone.
    var isLive = false

    var datagramCount: Int {
        guard segmentByteCount > 0, byteCount > segmentByteCount else { return 1 }
        return (byteCount + segmentByteCount - 1) / segmentByteCount
    }
}

/// One datagram of the batch: some bytes of a message.
struct Datagram: BitwiseCopyable {
    var message = 0
    /// From the beginning of the packet memory.
    var offset = 0
    var byteCount = 0
}

/// The received messages, presented as batches of at most 64 datagrams.
struct Batch: ~Copyable {
    static let capacity = 64

    private var messages = FixedBuffer(repeating: Message(), count: PacketMemory.bufferCount)
    private var datagrams = FixedBuffer(repeating: Datagram(), count: Batch.capacity)
    private var messageCount = 0
    /// What is presented next: a message, and a datagram of it.
    private var nextMessage = 0
    private var nextDatagram = 0
    private(set) var count = 0

    /// Forgets everything; the buffers may be filled again.
    mutating func removeAll() {
        messageCount = 0
        nextMessage = 0
        nextDatagram = 0
        count = 0
    }

    /// Takes in the message that stands in the buffer after the last one.
    mutating func append(_ message: Message) {
        messages[messageCount] = message
        messageCount += 1
    }

    /// Presents the next datagrams, as many as fit; a message is cut only if it is alone.
    /// - Returns: how many; zero when everything has been presented.
    mutating func present() -> Int {
        count = 0
        while nextMessage < messageCount {
            let message = messages[nextMessage]
            let remaining = message.isLive ? message.datagramCount - nextDatagram : 0
            if count > 0, count + remaining > Self.capacity { break }
            let taken = min(remaining, Self.capacity - count)
            for index in nextDatagram..<nextDatagram + taken { present(index, of: message) }
            guard taken == remaining else {
                nextDatagram += taken
                break
            }
            nextMessage += 1
            nextDatagram = 0
        }
        return count
    }

    private mutating func present(_ index: Int, of message: Message) {
        let start = index * message.segmentByteCount
        let remaining = message.byteCount - start
        datagrams[count] = Datagram(
            message: nextMessage,
            offset: PacketMemory.offset(ofBuffer: nextMessage) + start,
            byteCount: message.segmentByteCount == 0 ? remaining : min(remaining, message.segmentByteCount))
        count += 1
    }

    /// Drops what has not been presented of a socket, since its slot may soon mean another one.
    mutating func forget(_ slot: SocketSlot) {
        for index in nextMessage..<messageCount where messages[index].slot == slot {
            messages[index].isLive = false
        }
    }

    /// Datagram `index` of those that are presented.
    @inline(__always)
    func datagram(_ index: Int) -> Datagram {
        precondition(index >= 0 && index < count)
        return datagrams[index]
    }

    @inline(__always)
    func message(of index: Int) -> Message { messages[datagram(index).message] }
}
