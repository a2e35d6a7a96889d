import RelayCore
import RelayWorker

/// What the plane knows about one slot, in half a cache line.
struct SocketState: BitwiseCopyable {
    /// Which list of ready sockets a socket stands in.
    enum Membership: BitwiseCopyable { case none, listeners, relays }

    var isInUse = false
    var isListener = false
    /// 4 or 6.
    var version: UInt8 = 4
    var membership = Membership.none
    var descriptor: Int32 = -1
    /// The slot that owns the descriptor: itself, or a vantage's listener.
    var owner: Int32 = 0
    /// The largest datagram that is worth a try with GSO; lowered when the kernel refuses one.
    var segmentLimit: UInt16 = 65_000
    /// The local port.
    var port: UInt16 = 0
    /// The kernel's last total of dropped datagrams.
    var dropCount: UInt32 = 0
    fileprivate(set) var previous: Int32 = -1
    fileprivate(set) var next: Int32 = -1
    /// Of a vantage or a relay socket: where its address stands among the local addresses, or -1.
    var addressIndex: Int32 = -1
}

/// A queue of slots that probably have something to receive, linked through their states.
struct ReadyList: BitwiseCopyable {
    private(set) var first = -1
    private var last = -1
    private(set) var count = 0
    private let membership: SocketState.Membership

    init(_ membership: SocketState.Membership) { self.membership = membership }

    var isEmpty: Bool { count == 0 }

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

/// The attached sockets by slot, and those that are ready.
///
/// Listeners and relay sockets queue apart: a listener carries the traffic of all clients, a relay socket that of one,
/// and neither kind may keep the other waiting.
struct SocketTable: ~Copyable {
    private var states = FixedBuffer(repeating: SocketState(), count: 64)
    private(set) var listeners = ReadyList(.listeners)
    private(set) var relays = ReadyList(.relays)

    var hasReady: Bool { !listeners.isEmpty || !relays.isEmpty }

    /// Whether `slot` is attached.
    func contains(_ slot: Int) -> Bool { slot < states.count && states[slot].isInUse }

    /// The state of a slot that was attached at some time.
    subscript(slot: Int) -> SocketState {
        @inline(__always) get { states[slot] }
        @inline(__always) _modify { yield &states[slot] }
    }

    /// Asks for the state of a slot, which is used a little later.
    @inline(__always)
    func prefetch(_ slot: Int) { states.prefetch(slot) }

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
    mutating func markReady(_ slot: Int) {
        guard states[slot].isInUse, states[slot].membership == .none else { return }
        if states[slot].isListener {
            listeners.append(slot, in: &states)
        } else {
            relays.append(slot, in: &states)
        }
    }

    /// Takes the first ready listener out of its list; there must be one.
    mutating func nextListener() -> Int {
        let slot = listeners.first
        unlink(slot)
        return slot
    }

    /// Takes the first ready relay socket out of its list; there must be one.
    mutating func nextRelay() -> Int {
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
