/// The allocations on each listener's slot, and the listeners that take no new ones.
struct ListenerAttendance {
    private var counts: [SocketSlot: Int] = [:]
    private(set) var leaving: Set<SocketSlot> = []

    /// Living allocations, those in the making included.
    func count(on slot: SocketSlot) -> Int { counts[slot, default: 0] }

    mutating func enter(_ slot: SocketSlot) { counts[slot, default: 0] += 1 }

    mutating func exit(_ slot: SocketSlot) {
        let count = counts[slot, default: 0]
        precondition(count > 0, "an allocation left a listener that it was not on")
        counts[slot] = count == 1 ? nil : count - 1
    }

    mutating func set(_ slot: SocketSlot, isLeaving: Bool) {
        if isLeaving { leaving.insert(slot) } else { leaving.remove(slot) }
    }
}
