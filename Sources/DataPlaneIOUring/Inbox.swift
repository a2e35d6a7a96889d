import RelayCore
import RelayWorker
import STUN

/// One buffer that the kernel filled: a datagram, or several of one flow that GRO put together.
struct Message: BitwiseCopyable {
    var slot = SocketSlot(index: 0)
    var source = TransportAddress(IPAddress(v4: 0), port: 0)
    var destination: IPAddress?
    /// Where the payload begins, from the beginning of the packet memory.
    var offset = 0
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
    /// The number of the buffer.
    var buffer = 0
    /// From the beginning of the packet memory.
    var offset = 0
    var byteCount = 0
    /// Whether what stands in front of it is free to be written: true for the first datagram of a buffer.
    var hasHeadroom = false
}

/// The buffers that the kernel filled and that are ours for now, presented as batches of at most 64 datagrams.
///
/// Listeners and relay sockets queue apart: a listener carries the traffic of all clients, a relay socket that of one,
/// and neither kind may keep the other waiting.
struct Inbox: ~Copyable {
    static let batchCapacity = 64

    /// By the number of the buffer.
    private var messages = FixedBuffer(repeating: Message(), count: PacketMemory.bufferCount)
    private var listeners = BufferQueue()
    private var relays = BufferQueue()
    /// Buffers of which nothing is left to present. Their bytes may be part of the batch that is presented now.
    private var spent = FixedBuffer(repeating: 0, count: PacketMemory.bufferCount)
    private var spentCount = 0
    private var datagrams = FixedBuffer(repeating: Datagram(), count: Inbox.batchCapacity)
    /// Datagrams of the batch that is presented.
    private(set) var count = 0

    /// Takes in a buffer.
    mutating func append(_ message: Message, inBuffer number: Int) {
        messages[number] = message
        switch PacketMemory.group(ofBuffer: number) {
        case .listeners: listeners.append(number)
        case .relays: relays.append(number)
        }
    }

    /// Ends the batch: the buffer of each message that has been presented is given to `recycle`.
    mutating func removeSpent(_ recycle: (Int) -> Void) {
        count = 0
        for index in 0..<spentCount { recycle(spent[index]) }
        listeners.heldCount -= spentOfListeners
        relays.heldCount -= spentCount - spentOfListeners
        spentCount = 0
        spentOfListeners = 0
    }
    private var spentOfListeners = 0

    /// Buffers of a group that are not ours: with the kernel.
    func freeCount(of group: BufferGroup) -> Int {
        PacketMemory.groupBufferCount - (group == .listeners ? listeners.heldCount : relays.heldCount)
    }

    /// Presents the next datagrams, as many as fit; a message is cut only if it is alone.
    /// - Returns: how many; zero when everything has been presented.
    mutating func present() -> Int {
        count = 0
        if !listeners.isEmpty {
            present(.listeners, upTo: relays.isEmpty ? Self.batchCapacity : Self.batchCapacity / 2)
        }
        if !relays.isEmpty { present(.relays, upTo: Self.batchCapacity) }
        if !listeners.isEmpty { present(.listeners, upTo: Self.batchCapacity) }
        return count
    }

    private mutating func present(_ group: BufferGroup, upTo limit: Int) {
        while let number = first(of: group) {
            let message = messages[number]
            let start = group == .listeners ? listeners.presentedCount : relays.presentedCount
            let remaining = message.isLive ? message.datagramCount - start : 0
            if remaining > 0, count >= limit || (count > 0 && count + remaining > limit) { return }
            let taken = min(remaining, limit - count)
            for index in start..<start + taken { present(index, of: message, number) }
            guard taken == remaining else {
                if group == .listeners { listeners.presentedCount += taken } else { relays.presentedCount += taken }
                return
            }
            removeFirst(of: group)
        }
    }

    private func first(of group: BufferGroup) -> Int? { group == .listeners ? listeners.first : relays.first }

    private mutating func removeFirst(of group: BufferGroup) {
        switch group {
        case .listeners:
            spent[spentCount] = listeners.removeFirst()
            spentOfListeners += 1
        case .relays: spent[spentCount] = relays.removeFirst()
        }
        spentCount += 1
    }

    private mutating func present(_ index: Int, of message: Message, _ number: Int) {
        let start = index * message.segmentByteCount
        let remaining = message.byteCount - start
        datagrams[count] = Datagram(
            buffer: number, offset: message.offset + start,
            byteCount: message.segmentByteCount == 0 ? remaining : min(remaining, message.segmentByteCount),
            hasHeadroom: index == 0)
        count += 1
    }

    /// Drops what has not been presented of a socket, since its slot may soon mean another one.
    mutating func forget(_ slot: SocketSlot) {
        for index in 0..<listeners.count where messages[listeners[index]].slot == slot {
            messages[listeners[index]].isLive = false
        }
        for index in 0..<relays.count where messages[relays[index]].slot == slot {
            messages[relays[index]].isLive = false
        }
    }

    /// Datagram `index` of those that are presented.
    @inline(__always)
    func datagram(_ index: Int) -> Datagram {
        precondition(index >= 0 && index < count)
        return datagrams[index]
    }

    @inline(__always)
    func message(of index: Int) -> Message { messages[datagram(index).buffer] }
}

/// Numbers of buffers of one group, first in, first out.
private struct BufferQueue: ~Copyable {
    private static let capacity = PacketMemory.groupBufferCount
    private var numbers = FixedBuffer(repeating: 0, count: BufferQueue.capacity)
    private var start = 0
    private(set) var count = 0
    /// Datagrams of the first buffer that have been presented.
    var presentedCount = 0
    /// Buffers that are not with the kernel: these, and those that are spent.
    var heldCount = 0

    var isEmpty: Bool { count == 0 }
    var first: Int? { count == 0 ? nil : numbers[start] }
    subscript(index: Int) -> Int { numbers[(start + index) % Self.capacity] }

    mutating func append(_ number: Int) {
        precondition(count < Self.capacity, "the kernel gave a buffer twice")
        numbers[(start + count) % Self.capacity] = number
        count += 1
        heldCount += 1
    }

    mutating func removeFirst() -> Int {
        let number = numbers[start]
        start = (start + 1) % Self.capacity
        count -= 1
        presentedCount = 0
        return number
    }
}
