import CLinux
import RelayCore
import RelayWorker

/// What the plane knows about one slot.
struct SlotState: BitwiseCopyable {
    var isInUse = false
    var isListener = false
    /// Whether a receive is in flight, or queued.
    var isArmed = false
    /// Whether a sweep is in flight, or queued.
    var isSwept = false
    /// Datagrams, or buffers of GRO, that the present or the last sweep brought.
    var sweptCount = 0
    /// Whether it waits in the list of those to be armed again.
    fileprivate(set) var isWaiting = false
    /// 4 or 6.
    var version: UInt8 = 4
    var descriptor: Int32 = -1
    /// The life of this slot, so that a completion of an earlier one is told apart.
    fileprivate(set) var generation: UInt32 = 0
    /// The slot that owns the descriptor: itself, or a vantage's listener.
    var owner = 0
    /// The address to send from; version 0 where the socket's own will do.
    var source = clinux_address()
    /// The largest datagram that is worth a try with GSO; lowered when the kernel refuses one.
    var segmentLimit = 65_000
    /// The kernel's last total of dropped datagrams.
    var dropCount: UInt32 = 0
    fileprivate var previous = -1
    fileprivate var next = -1

    var group: BufferGroup { isListener ? .listeners : .relays }
}

/// The attached sockets by slot, and those whose receive has ended and must be armed again.
struct SlotTable: ~Copyable {
    private var states = FixedBuffer(repeating: SlotState(), count: 64)
    private var listeners = WaitingList()
    private var relays = WaitingList()

    /// Whether `slot` is attached.
    func contains(_ slot: Int) -> Bool { slot < states.count && states[slot].isInUse }

    /// The state of a slot that was attached at some time.
    subscript(slot: Int) -> SlotState {
        @inline(__always) get { states[slot] }
        @inline(__always) _modify { yield &states[slot] }
    }

    /// Asks for the state of a slot, which is used a little later.
    @inline(__always)
    func prefetch(_ slot: Int) { states.prefetch(slot) }

    mutating func insert(_ state: SlotState, at slot: Int) {
        if slot >= states.count {
            states = states.grown(to: max(slot + 1, 2 * states.count), filledWith: SlotState())
        }
        precondition(!states[slot].isInUse, "socket slot \(slot) is attached twice")
        let generation = states[slot].generation
        states[slot] = state
        states[slot].generation = generation
    }

    mutating func remove(_ slot: Int) {
        unlink(slot)
        let generation = states[slot].generation
        states[slot] = SlotState()
        states[slot].generation = (generation &+ 1) & Token.generationMask
    }

    /// The token of a slot's receive in this life of the slot.
    func token(of slot: Int, _ kind: Token.Kind = .receive) -> Token {
        Token(kind, number: slot, generation: states[slot].generation)
    }

    /// Whether a token is of this life of its slot.
    func isCurrent(_ token: Token) -> Bool {
        contains(token.number) && states[token.number].generation == token.generation
    }

    /// Puts a socket at the end of those to be armed.
    mutating func await(_ slot: Int) {
        guard !states[slot].isWaiting else { return }
        if states[slot].isListener {
            listeners.append(slot, in: &states)
        } else {
            relays.append(slot, in: &states)
        }
    }

    /// Takes the next socket of a group that is to be armed.
    mutating func nextWaiting(of group: BufferGroup) -> Int? {
        let slot = group == .listeners ? listeners.first : relays.first
        guard slot >= 0 else { return nil }
        unlink(slot)
        return slot
    }

    private mutating func unlink(_ slot: Int) {
        guard states[slot].isWaiting else { return }
        if states[slot].isListener {
            listeners.remove(slot, in: &states)
        } else {
            relays.remove(slot, in: &states)
        }
    }
}

/// A queue of slots, linked through their states.
private struct WaitingList: BitwiseCopyable {
    private(set) var first = -1
    private var last = -1

    mutating func append(_ slot: Int, in states: inout FixedBuffer<SlotState>) {
        states[slot].isWaiting = true
        states[slot].previous = last
        states[slot].next = -1
        if last >= 0 {
            states[last].next = slot
        } else {
            first = slot
        }
        last = slot
    }

    mutating func remove(_ slot: Int, in states: inout FixedBuffer<SlotState>) {
        let state = states[slot]
        if state.previous >= 0 {
            states[state.previous].next = state.next
        } else {
            first = state.next
        }
        if state.next >= 0 {
            states[state.next].previous = state.previous
        } else {
            last = state.previous
        }
        states[slot].isWaiting = false
    }
}
