public import RelayCore

/// The buffers that calls of a turn filled, in order, presented as batches.
public struct Batch: ~Copyable {
    private var firstBuffer: Int
    private var messageCount = 0
    /// What is presented next: a message, and a datagram of it.
    private var nextMessage = 0
    private var nextDatagram = 0

    /// - Parameter firstBuffer: the number of the buffer that is filled first.
    public init(fromBuffer firstBuffer: Int = 0) { self.firstBuffer = firstBuffer }

    /// Whether everything has been presented.
    public var isEmpty: Bool { nextMessage == messageCount }

    /// Forgets everything; the buffers may be filled again.
    public mutating func removeAll() {
        messageCount = 0
        nextMessage = 0
        nextDatagram = 0
    }

    /// Forgets everything; from now on the buffers are filled from this one on.
    public mutating func removeAll(fromBuffer first: Int) {
        removeAll()
        firstBuffer = first
    }

    /// Takes in the buffer after the last one.
    public mutating func append() { messageCount += 1 }

    /// Presents the next datagrams, as many as fit; a message is cut only if it is alone.
    public mutating func present(in presentation: inout Presentation) {
        while nextMessage < messageCount {
            let buffer = firstBuffer + nextMessage
            let message = presentation[buffer: buffer]
            let remaining = message.isLive ? message.datagramCount - nextDatagram : 0
            if presentation.count > 0, presentation.count + remaining > Presentation.capacity { break }
            let taken = min(remaining, Presentation.capacity - presentation.count)
            presentation.append(nextDatagram..<nextDatagram + taken, ofBuffer: buffer)
            guard taken == remaining else {
                nextDatagram += taken
                break
            }
            nextMessage += 1
            nextDatagram = 0
        }
    }

    /// Drops what has not been presented of a socket, since its slot may soon mean another one.
    public func forget(_ slot: SocketSlot, in presentation: inout Presentation) {
        for buffer in firstBuffer + nextMessage..<firstBuffer + messageCount
        where presentation[buffer: buffer].slot == slot {
            presentation[buffer: buffer].isLive = false
        }
    }
}
