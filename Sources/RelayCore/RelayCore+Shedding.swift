import STUN

/// What is left out while a worker cannot keep up: whatever comes from clients without an allocation, before anything is
/// computed for it but the stamp of an Allocate's nonce. Relayed traffic and the requests of living allocations go on.
extension RelayCore {
    /// Says whether the worker is behind. What holds now holds until the next call.
    public mutating func shed(_ isShedding: Bool) {
        self.isShedding = isShedding
        counters.isShedding = isShedding ? 1 : 0
    }

    /// Whether a message from a client is dropped by what its first bytes say. An Allocate is looked at more closely, by
    /// ``isShed(_:on:from:at:)``.
    func isShed(_ datagram: RawSpan, on slot: SocketSlot, from client: TransportAddress) -> Bool {
        clients.find(ClientKey(client: client, listener: slot)) == nil && !Message.isRequest(datagram, of: .allocate)
    }

    /// Challenges a second that even a worker that is behind gives, a tenth of its time or so: clients that all come back
    /// at once are no flood, and one that is not answered tries again only after half a second.
    static let challengesPerSecond: UInt64 = 20_000

    /// Whether a message is dropped. Somebody new gets an allocation all the same, once challenged: the nonce shows that
    /// they are where they say they are, so no flood of invented sources gets that far.
    mutating func isShed(
        _ message: borrowing Message, on slot: SocketSlot, from client: TransportAddress, at moment: Moment
    ) -> Bool {
        guard clients.find(ClientKey(client: client, listener: slot)) == nil else { return false }
        if !message.integrity.isEmpty, let nonce = message.first(.nonce),
            authenticator.accepts(nonce: nonce.value, from: client, at: moment)
        {
            return false
        }
        let next = challengePace.next(challengedUntil, 1, at: moment.monotonic.nanoseconds)
        challengedUntil = next ?? challengedUntil
        return next == nil
    }
}
