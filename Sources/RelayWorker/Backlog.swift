public import RelayCore

/// Tells whether a worker keeps up, by how full its batches are.
///
/// A batch that is at least half full says that datagrams came about as fast as they are handled. Now and then that is a
/// burst; without a break for ``patienceMilliseconds`` it is a queue that only grows.
@frozen
public struct Backlog: Sendable, BitwiseCopyable {
    /// What is to be told to an operator.
    public enum Event: Sendable, Hashable {
        case began
        case ended(milliseconds: UInt64)
    }

    /// How long batches are full without a break before the worker is behind.
    public static var patienceMilliseconds: UInt64 { 50 }
    /// The same until the operator is told that it is over.
    public static var renewedPatienceMilliseconds: UInt64 { 10 }
    /// How long no batch may be full before it is no longer.
    public static var recoveryMilliseconds: UInt64 { 250 }
    /// How long it must keep up before an operator is told that it does: a flood that is dropped fills no batch, so under
    /// one flood the worker is behind again and again.
    public static var calmMilliseconds: UInt64 { 10_000 }

    /// It cannot keep up.
    public private(set) var isBehind = false
    /// When the present run of full batches began.
    @usableFromInline var fullSince: Instant?
    private var lastFull = Instant(nanoseconds: 0)
    @usableFromInline var began: Instant?

    @inlinable
    public init() {}

    /// Whether a batch changes anything, so that it has to be taken in.
    @inlinable
    public func isConcerned(by count: Int, of limit: Int) -> Bool {
        2 * count >= limit || fullSince != nil || began != nil
    }

    /// Takes in how many datagrams a batch brought, of at most `limit`.
    public mutating func note(_ count: Int, of limit: Int, at now: Instant) -> Event? {
        guard 2 * count >= limit else {
            fullSince = nil
            return began == nil ? nil : recover(at: now)
        }
        lastFull = now
        guard let fullSince else {
            fullSince = now
            return nil
        }
        let patience = began == nil ? Self.patienceMilliseconds : Self.renewedPatienceMilliseconds
        guard !isBehind, fullSince.advanced(byMilliseconds: patience) <= now else { return nil }
        isBehind = true
        guard began == nil else { return nil }
        began = now
        return .began
    }

    /// When ``note(_:of:at:)`` is called at the latest, whatever comes.
    @usableFromInline var deadline: Instant? {
        guard began != nil else { return nil }
        return lastFull.advanced(byMilliseconds: isBehind ? Self.recoveryMilliseconds : Self.calmMilliseconds)
    }

    private mutating func recover(at now: Instant) -> Event? {
        if lastFull.advanced(byMilliseconds: Self.recoveryMilliseconds) <= now { isBehind = false }
        guard let began, lastFull.advanced(byMilliseconds: Self.calmMilliseconds) <= now else { return nil }
        self.began = nil
        return .ended(milliseconds: (lastFull.nanoseconds - began.nanoseconds) / 1_000_000)
    }
}

extension Worker {
    /// Tells the core and the operator when the worker falls behind, and when it keeps up again.
    @usableFromInline
    mutating func noteBatch(_ count: Int, of limit: Int, at now: Instant) {
        let wasBehind = backlog.isBehind
        let event = backlog.note(count, of: limit, at: now)
        if backlog.isBehind != wasBehind { core.shed(backlog.isBehind) }
        switch event {
        case nil: return
        case .began:
            shedBefore = core.counters[.shed]
            tell(.sheddingBegan)
        case .ended(let milliseconds):
            tell(
                .sheddingEnded(
                    droppedDatagrams: core.counters[.shed] - shedBefore, milliseconds: milliseconds))
        }
    }
}
