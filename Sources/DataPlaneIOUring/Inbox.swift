import PlaneKit
import RelayCore
import RelayWorker

/// Whose datagrams a buffer holds. A flood on relay sockets must not take the listeners' buffers, nor the other way.
enum BufferGroup: Int, BitwiseCopyable {
    case listeners = 0
    case relays = 1

    /// Buffers a group.
    static let bufferCount = 64
    /// How many of them the kernel has at a time, and how many bytes it may put into them. What is received must still
    /// be in the cache when it is sent, and buffers are filled in turn, so that more of them were all cold. Fewer than a
    /// batch: a socket that finds none when a batch is full is busy, and is read by calls.
    static let suppliedCountLimit = 48
    static let suppliedByteLimit = 128 * 1_024
    /// So few are worth a call.
    static let suppliedCountMinimum = 8

    init(ofBuffer number: Int) { self = number < Self.bufferCount ? .listeners : .relays }
}

/// The buffers that the kernel filled and that are ours for now, presented as batches of at most 64 datagrams.
///
/// Listeners and relay sockets queue apart: a listener carries the traffic of all clients, a relay socket that of one,
/// and neither kind may keep the other waiting.
struct Inbox: ~Copyable {
    static let bufferCount = 2 * BufferGroup.bufferCount

    private var listeners = BufferQueue()
    private var relays = BufferQueue()
    /// Buffers of which nothing is left to present. Their bytes may be part of the batch that is presented now.
    private var spent = FixedBuffer(repeating: 0, count: Inbox.bufferCount)
    private var spentCount = 0
    private var spareListeners = SpareBuffers(.listeners)
    private var spareRelays = SpareBuffers(.relays)

    /// Buffers of which something waits to be presented.
    var count: Int { listeners.count + relays.count }

    /// Takes in a buffer.
    mutating func append(_ number: Int, byteCount: Int) {
        switch BufferGroup(ofBuffer: number) {
        case .listeners:
            listeners.append(number)
            spareListeners.noteFilled(with: byteCount)
        case .relays:
            relays.append(number)
            spareRelays.noteFilled(with: byteCount)
        }
    }

    /// Whether everything has been presented.
    var isEmpty: Bool { listeners.isEmpty && relays.isEmpty }

    /// Ends the batch: the buffer of each message that has been presented is free. Once nothing waits to be presented the
    /// kernel is given as many as it lacks, those that were used last first; earlier, it could fill them as fast as they
    /// are emptied, and sockets that are read by calls would never have their turn.
    /// - Parameters:
    ///   - isSupplying: false where it is to be given none.
    ///   - pins: buffers that are not free yet.
    mutating func recycle(isSupplying: Bool, sparing pins: borrowing Pins, _ supply: (Int) -> Void) {
        var keptCount = 0
        for index in 0..<spentCount {
            guard !pins.isPinned(spent[index]) else {
                spent[keptCount] = spent[index]
                keptCount += 1
                continue
            }
            switch BufferGroup(ofBuffer: spent[index]) {
            case .listeners: spareListeners.append(spent[index])
            case .relays: spareRelays.append(spent[index])
            }
        }
        spentCount = keptCount
        guard isSupplying, isEmpty else { return }
        spareListeners.supply(supply)
        spareRelays.supply(supply)
    }

    /// Presents the next datagrams, as many as fit; a message is cut only if it is alone.
    mutating func present(in presentation: inout Presentation) {
        let capacity = Presentation.capacity
        if !listeners.isEmpty {
            present(.listeners, in: &presentation, upTo: relays.isEmpty ? capacity : capacity / 2)
        }
        if !relays.isEmpty { present(.relays, in: &presentation, upTo: capacity) }
        if !listeners.isEmpty { present(.listeners, in: &presentation, upTo: capacity) }
    }

    private mutating func present(_ group: BufferGroup, in presentation: inout Presentation, upTo limit: Int) {
        while let number = first(of: group) {
            let message = presentation[buffer: number]
            let count = presentation.count
            let start = group == .listeners ? listeners.presentedCount : relays.presentedCount
            let remaining = message.isLive ? message.datagramCount - start : 0
            if remaining > 0, count >= limit || (count > 0 && count + remaining > limit) { return }
            let taken = min(remaining, limit - count)
            presentation.append(start..<start + taken, ofBuffer: number)
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
        case .listeners: spent[spentCount] = listeners.removeFirst()
        case .relays: spent[spentCount] = relays.removeFirst()
        }
        spentCount += 1
    }

    /// Drops what has not been presented of a socket, since its slot may soon mean another one.
    func forget(_ slot: SocketSlot, in presentation: inout Presentation) {
        for index in 0..<listeners.count where presentation[buffer: listeners[index]].slot == slot {
            presentation[buffer: listeners[index]].isLive = false
        }
        for index in 0..<relays.count where presentation[buffer: relays[index]].slot == slot {
            presentation[buffer: relays[index]].isLive = false
        }
    }
}

/// Numbers of buffers of one group, first in, first out.
private struct BufferQueue: ~Copyable {
    private static let capacity = BufferGroup.bufferCount
    private var numbers = FixedBuffer(repeating: 0, count: BufferQueue.capacity)
    private var start = 0
    private(set) var count = 0
    /// Datagrams of the first buffer that have been presented.
    var presentedCount = 0

    var isEmpty: Bool { count == 0 }
    var first: Int? { count == 0 ? nil : numbers[start] }
    subscript(index: Int) -> Int { numbers[(start + index) % Self.capacity] }

    mutating func append(_ number: Int) {
        precondition(count < Self.capacity, "the kernel gave a buffer twice")
        numbers[(start + count) % Self.capacity] = number
        count += 1
    }

    mutating func removeFirst() -> Int {
        let number = numbers[start]
        start = (start + 1) % Self.capacity
        count -= 1
        presentedCount = 0
        return number
    }
}

/// Buffers of one group that nobody uses, last in, first out.
private struct SpareBuffers: ~Copyable {
    private var numbers = FixedBuffer(repeating: 0, count: BufferGroup.bufferCount)
    private var count = BufferGroup.bufferCount
    /// Buffers that the kernel has.
    private var suppliedCount = 0
    /// Of the last messages, the newest counting most.
    private var averageByteCount = 0

    init(_ group: BufferGroup) {
        let first = group == .listeners ? 0 : BufferGroup.bufferCount
        for index in 0..<count { numbers[index] = first + count - 1 - index }
    }

    mutating func append(_ number: Int) {
        numbers[count] = number
        count += 1
    }

    mutating func noteFilled(with byteCount: Int) {
        suppliedCount -= 1
        averageByteCount += (byteCount - averageByteCount) / 16
    }

    mutating func supply(_ give: (Int) -> Void) {
        let fitting = BufferGroup.suppliedByteLimit / max(1, averageByteCount)
        let wanted = max(BufferGroup.suppliedCountMinimum, min(fitting, BufferGroup.suppliedCountLimit))
        while suppliedCount < wanted, count > 0 {
            count -= 1
            give(numbers[count])
            suppliedCount += 1
        }
    }
}
