import PlaneKit
import RelayCore

/// The buffers that a turn filled, in order, presented as batches.
struct Batch: ~Copyable {
    private var messageCount = 0
    /// What is presented next: a message, and a datagram of it.
    private var nextMessage = 0
    private var nextDatagram = 0

    /// Forgets everything; the buffers may be filled again.
    mutating func removeAll() {
        messageCount = 0
        nextMessage = 0
        nextDatagram = 0
    }

    /// Takes in the buffer after the last one.
    mutating func append() { messageCount += 1 }

    /// Presents the next datagrams, as many as fit; a message is cut only if it is alone.
    /// - Returns: how many; zero when everything has been presented.
    mutating func present(in presentation: inout Presentation) -> Int {
        presentation.removeAll()
        while nextMessage < messageCount {
            let message = presentation[buffer: nextMessage]
            let remaining = message.isLive ? message.datagramCount - nextDatagram : 0
            if presentation.count > 0, presentation.count + remaining > Presentation.capacity { break }
            let taken = min(remaining, Presentation.capacity - presentation.count)
            presentation.append(nextDatagram..<nextDatagram + taken, ofBuffer: nextMessage)
            guard taken == remaining else {
                nextDatagram += taken
                break
            }
            nextMessage += 1
            nextDatagram = 0
        }
        return presentation.count
    }

    /// Drops what has not been presented of a socket, since its slot may soon mean another one.
    func forget(_ slot: SocketSlot, in presentation: inout Presentation) {
        for index in nextMessage..<messageCount where presentation[buffer: index].slot == slot {
            presentation[buffer: index].isLive = false
        }
    }
}
