import RelayCore

/// What the plane knows about one slot, in half a cache line.
public struct SocketState: BitwiseCopyable {
    /// Which list of waiting sockets a socket stands in.
    @usableFromInline enum Membership: BitwiseCopyable { case none, listeners, relays }

    var isInUse = false
    public internal(set) var isListener = false
    /// 4 or 6.
    var version: UInt8 = 4
    var membership = Membership.none
    public internal(set) var descriptor: Int32 = -1
    /// The slot that owns the descriptor: itself, or a vantage's listener.
    public internal(set) var owner: Int32 = 0
    var segmentationPause = SegmentationPause()
    /// The local port.
    var port: UInt16 = 0
    /// The kernel's last total of dropped datagrams.
    public var dropCount: UInt32 = 0
    fileprivate(set) var previous: Int32 = -1
    fileprivate(set) var next: Int32 = -1
    /// Of a vantage or a relay socket: where its address stands among the local addresses, or -1.
    var addressIndex: Int32 = -1
}

/// A queue of slots, linked through their states.
public struct WaitingList: BitwiseCopyable {
    private(set) var first = -1
    private var last = -1
    public private(set) var count = 0
    private let membership: SocketState.Membership

    init(_ membership: SocketState.Membership) { self.membership = membership }

    public var isEmpty: Bool { count == 0 }

    mutating func append(_ slot: Int, in states: inout FixedBuffer<SocketState>) {
        states[slot].membership = membership
        states[slot].previous = Int32(last)
        states[slot].next = -1
        if last >= 0 {
            states[last].next = Int32(slot)
        } else {
            first = slot
        }
        last = slot
        count += 1
    }

    /// Takes out a slot that stands in this list.
    mutating func remove(_ slot: Int, in states: inout FixedBuffer<SocketState>) {
        let previous = Int(states[slot].previous)
        let next = Int(states[slot].next)
        if previous >= 0 {
            states[previous].next = Int32(next)
        } else {
            first = next
        }
        if next >= 0 {
            states[next].previous = Int32(previous)
        } else {
            last = previous
        }
        states[slot].membership = .none
        count -= 1
    }
}

/// The attached sockets by slot, and those that wait for the plane: to be read from, or to be watched again.
///
/// Listeners and relay sockets queue apart: a listener carries the traffic of all clients, a relay socket that of one,
/// and neither kind may keep the other waiting.
public struct SocketTable: ~Copyable {
    @usableFromInline var states = FixedBuffer(repeating: SocketState(), count: 64)
    public private(set) var listeners = WaitingList(.listeners)
    public private(set) var relays = WaitingList(.relays)

    public var hasWaiting: Bool { !listeners.isEmpty || !relays.isEmpty }

    /// Whether `slot` is attached.
    public func contains(_ slot: Int) -> Bool { slot < states.count && states[slot].isInUse }

    /// The state of a slot that was attached at some time.
    @inlinable
    public subscript(slot: Int) -> SocketState {
        @inline(__always) get { states[slot] }
        @inline(__always) _modify { yield &states[slot] }
    }

    /// Asks for the state of a slot, which is used a little later.
    @inlinable @inline(__always)
    public func prefetch(_ slot: Int) { states.prefetch(slot) }

    mutating func insert(_ state: SocketState, at slot: Int) {
        if slot >= states.count {
            states = states.grown(to: max(slot + 1, 2 * states.count), filledWith: SocketState())
        }
        precondition(!states[slot].isInUse, "socket slot \(slot) is attached twice")
        states[slot] = state
    }

    mutating func remove(_ slot: Int) {
        unlink(slot)
        states[slot] = SocketState()
    }

    /// Puts a socket at the end of its list, unless it stands in it.
    public mutating func enlist(_ slot: Int) {
        guard states[slot].isInUse, states[slot].membership == .none else { return }
        if states[slot].isListener {
            listeners.append(slot, in: &states)
        } else {
            relays.append(slot, in: &states)
        }
    }

    /// Takes the first listener out of its list; there must be one.
    public mutating func nextListener() -> Int {
        let slot = listeners.first
        unlink(slot)
        return slot
    }

    /// Takes the first relay socket out of its list; there must be one.
    public mutating func nextRelay() -> Int {
        let slot = relays.first
        unlink(slot)
        return slot
    }

    private mutating func unlink(_ slot: Int) {
        switch states[slot].membership {
        case .none: return
        case .listeners: listeners.remove(slot, in: &states)
        case .relays: relays.remove(slot, in: &states)
        }
    }
}
