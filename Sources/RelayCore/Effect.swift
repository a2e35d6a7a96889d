public import STUN

/// What the core asks of its worker, in the order in which it must happen.
public enum Effect: Sendable {
    /// Send the bytes at this range of the effects' message arena.
    case send(Range<Int>, from: SocketSlot, to: TransportAddress, dontFragment: Bool)
    /// Bind a relay socket, then ``RelayCore/resume(_:at:into:)`` with what came of it.
    case openRelay(RelayRequest)
    /// Close a relay socket; its slot is free afterwards.
    case closeRelay(SocketSlot)
    /// Close a reserved socket that nobody claimed in time.
    case closeReserved(TransportAddress)
    /// Tell a plane that forwards by itself.
    case route(RouteDelta)
    /// Tell the operator.
    case note(Note)
}

/// A socket that the core wants for an allocation.
public struct RelayRequest: Sendable, Hashable {
    /// What the socket is for.
    public enum Purpose: Sendable, Hashable {
        /// The first, or only, relayed transport address.
        case first
        /// The second address of a dual allocation (ADDITIONAL-ADDRESS-FAMILY).
        case additional
        /// The sibling that EVEN-PORT reserves: bound and kept aside under its address until a token claims it.
        case reserved
        /// A sibling that was kept aside, claimed by RESERVATION-TOKEN: taken, not bound.
        case claimed
    }

    /// The allocation in the making.
    public let allocation: AllocationID
    public let purpose: Purpose
    /// The local address to bind.
    public let address: TransportAddress
}

/// What came of a ``RelayRequest``.
public enum RelayAnswer: Sendable, Hashable {
    /// The socket is bound and watched; for ``RelayRequest/Purpose/reserved`` it is bound and kept aside, and the slot means nothing.
    case opened(RelayRequest, SocketSlot)
    case refused(RelayRequest, RelayRefusal)
}

/// Why a relay socket could not be bound.
public enum RelayRefusal: Sendable, Hashable {
    /// Somebody else has the port: the core tries another one.
    case addressInUse
    /// Anything else (no descriptor left, address not ours), in a person's words.
    case failed(String)
}

/// The name of an allocation in one core: an index and a generation, so that a late fact finds nobody.
public struct AllocationID: Sendable, Hashable, BitwiseCopyable {
    let index: UInt32
    let generation: UInt32
}

/// One ordered list of effects with the messages that they send. Made once, reused for ever.
public struct Effects: ~Copyable {
    /// The effects in order.
    public private(set) var list: [Effect] = []
    /// The arena of outgoing messages: one event makes at most one message of a datagram's size and some answers.
    var writer: MessageWriter

    /// An empty list with room for the largest message.
    public init() {
        writer = MessageWriter(capacityBytes: 68 * 1024)
        list.reserveCapacity(64)
    }

    /// The bytes of a `.send`.
    @_lifetime(borrow self)
    public func bytes(_ range: Range<Int>) -> RawSpan { writer.bytes(range) }

    /// Forgets everything, keeps the room.
    public mutating func removeAll() {
        list.removeAll(keepingCapacity: true)
        writer.removeAll()
    }

    mutating func append(_ effect: Effect) { list.append(effect) }

    mutating func note(_ note: Note) { list.append(.note(note)) }
}
