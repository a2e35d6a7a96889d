import PlaneKit

/// What the ring does for one slot.
struct Watch: BitwiseCopyable {
    /// What is in flight, or queued: a receive, a question whether the socket is ready, or nothing.
    var request: Token.Kind?
    /// Whether it has more than its receive could take, or anything while others have so much, and is read by calls until
    /// it has nothing left.
    var isBusy = false
    /// The life of this slot, so that a completion of an earlier one is told apart.
    fileprivate(set) var generation: UInt32 = 0
}

/// What the ring does, by slot.
struct Watches: ~Copyable {
    private var watches = FixedBuffer(repeating: Watch(), count: 64)

    subscript(slot: Int) -> Watch {
        @inline(__always) get { watches[slot] }
        @inline(__always) _modify { yield &watches[slot] }
    }

    /// Makes room for a slot.
    mutating func reserve(_ slot: Int) {
        guard slot >= watches.count else { return }
        watches = watches.grown(to: max(slot + 1, 2 * watches.count), filledWith: Watch())
    }

    /// Begins another life of a slot.
    mutating func renew(_ slot: Int) {
        let generation = watches[slot].generation
        watches[slot] = Watch()
        watches[slot].generation = (generation &+ 1) & Token.generationMask
    }

    /// The token of a slot's request in this life of the slot.
    func token(of slot: Int, _ kind: Token.Kind) -> Token {
        Token(kind, number: slot, generation: watches[slot].generation)
    }

    /// Whether a token is of this life of its slot.
    func isCurrent(_ token: Token) -> Bool {
        token.number < watches.count && watches[token.number].generation == token.generation
    }
}
