public import RelayCore
public import STUN

/// One socket of a worker.
@frozen
public struct SocketEntry: Sendable, BitwiseCopyable {
    /// What a socket is for.
    @frozen
    public enum Role: Sendable, BitwiseCopyable, Equatable {
        /// A listener; on a wildcard address its datagrams carry the local address that they were sent to.
        case listener(isWildcard: Bool)
        /// One local address of a wildcard listener: the listener's descriptor, and the source address to send from.
        case vantage(of: SocketSlot)
        /// The relayed transport address of an allocation.
        case relay
    }

    /// The file descriptor; a vantage shares its listener's.
    public let descriptor: Int32
    public let role: Role
    /// The address that the socket is bound to; for a vantage the concrete local address.
    public let local: TransportAddress

    @inlinable
    public init(descriptor: Int32, role: Role, local: TransportAddress) {
        self.descriptor = descriptor
        self.role = role
        self.local = local
    }
}

/// The sockets of one worker. They outlive every plane: a plane watches them, the set owns them.
public struct SocketSet: ~Copyable {
    private var entries: [SocketEntry?] = []
    private var freeIndices: [UInt32] = []
    /// Slots that were emptied in this turn of the loop.
    private var emptiedIndices: [UInt32] = []
    /// Readable when the worker's inbox holds something; a plane's `receive` returns when it is.
    public let wakeDescriptor: Int32

    /// - Parameter wakeDescriptor: owned by the worker's inbox, not by the set.
    public init(wakeDescriptor: Int32) {
        self.wakeDescriptor = wakeDescriptor
    }

    /// Every slot in use, in ascending order.
    public var slots: [SocketSlot] {
        entries.indices.compactMap { entries[$0] == nil ? nil : SocketSlot(index: UInt32($0)) }
    }

    /// One more than the highest slot index that was ever in use.
    public var capacity: Int { entries.count }

    /// The socket in `slot`. The slot must be in use.
    public subscript(slot: SocketSlot) -> SocketEntry {
        guard let entry = entries[Int(slot.index)] else {
            preconditionFailure("socket slot \(slot.index) is not in use")
        }
        return entry
    }

    /// Whether `slot` stands for a socket now.
    public func contains(_ slot: SocketSlot) -> Bool {
        Int(slot.index) < entries.count && entries[Int(slot.index)] != nil
    }

    /// Takes a socket into the set, which owns the descriptor from then on.
    public mutating func insert(_ entry: SocketEntry) -> SocketSlot {
        if let index = freeIndices.popLast() {
            entries[Int(index)] = entry
            return SocketSlot(index: index)
        }
        entries.append(entry)
        return SocketSlot(index: UInt32(entries.count - 1))
    }

    /// Takes a socket out of the set. The caller owns the descriptor from then on (a vantage's stays its listener's).
    ///
    /// Its slot stays empty until ``recycle()``: datagrams of the same batch may still name it.
    public mutating func remove(_ slot: SocketSlot) -> SocketEntry {
        let entry = self[slot]
        entries[Int(slot.index)] = nil
        emptiedIndices.append(slot.index)
        return entry
    }

    /// Gives emptied slots to new sockets from now on: nothing that is still being handled names them.
    public mutating func recycle() {
        guard !emptiedIndices.isEmpty else { return }
        freeIndices.append(contentsOf: emptiedIndices)
        emptiedIndices.removeAll(keepingCapacity: true)
    }
}
