public import STUN

/// What the core is told of its listeners.
extension RelayCore {
    /// Tells the core of a listener socket and its local address (for a wildcard listener: one of its addresses). One
    /// that was told to leave takes new allocations again.
    public mutating func listen(on slot: SocketSlot, at address: TransportAddress) {
        slots[slot] = .listener(address)
        attendance.set(slot, isLeaving: false)
    }

    /// The listener is to be closed: new allocations on it are answered as ``Configuration/leavingAdmission`` says, the
    /// living ones go on.
    public mutating func leave(_ slot: SocketSlot) { attendance.set(slot, isLeaving: true) }

    /// Allocations on a listener's slot, those in the making included.
    public func allocationCount(on slot: SocketSlot) -> Int { attendance.count(on: slot) }

    /// Forgets a listener; no allocation may be on it.
    public mutating func forget(_ slot: SocketSlot) {
        precondition(attendance.count(on: slot) == 0, "a listener closed under an allocation")
        slots[slot] = .unused
        attendance.set(slot, isLeaving: false)
    }

    /// What holds for new allocations on a listener.
    func admission(on slot: SocketSlot) -> Admission {
        if let drained { return drained }
        return attendance.leaving.contains(slot) ? configuration.leavingAdmission : configuration.admission
    }
}
