// Unsafe code: the slots are memory that the kernel's program reads at the same time. The pointer comes from
// `XDPProgram`, which outlives the table, and every index is checked against the number of slots.

import CBPF
import CRelayABI

/// The number of a slot of `relay_entries`.
struct SlotIndex: Hashable, Sendable {
    let rawValue: Int
}

/// The writer's side of `relay_entries`: an open-addressed hash table that a program reads while it changes.
///
/// A slot is written while it is not live, then published by its state, which a program reads first. A removed one loses
/// its key at once, and is not written again before ``sweep(_:)`` is told that no reader can still hold it.
@safe
struct SlotTable: @unchecked Sendable {
    /// What a slot's memory may be used for; what readers see is in its `state`.
    private enum Use: UInt8 {
        case free, live, quarantined
    }

    private let entries: UnsafeMutablePointer<relay_entry>
    /// Of IPv6, by the same numbers.
    private let addresses: UnsafeMutablePointer<relay_addresses>
    private let count: Int
    private let seed: UInt64
    private var uses: [Use]
    private var quarantine: [SlotIndex] = []
    private(set) var liveCount = 0

    /// - Parameters:
    ///   - entries: the elements of the map, `count` entries and `count` pairs of addresses behind them.
    ///   - count: a power of two.
    init(_ entries: UnsafeMutablePointer<relay_entry>, count: Int, seed: UInt64) {
        precondition(count > 0 && count & (count - 1) == 0, "slots are a power of two")
        unsafe self.entries = entries
        unsafe addresses = UnsafeMutableRawPointer(entries + count).assumingMemoryBound(to: relay_addresses.self)
        self.count = count
        self.seed = seed
        uses = Array(repeating: .free, count: count)
    }

    /// Publishes an entry.
    /// - Returns: nothing where its neighbourhood is full, or where an entry takes the same datagrams already.
    mutating func insert(_ entry: Entry) -> SlotIndex? {
        let first = Int(truncatingIfNeeded: entry.firstSlot(seed: seed)) & (count - 1)
        var found: Int?
        search: for probe in 0..<min(Int(RELAY_PROBES), count) {
            let slot = (first + probe) & (count - 1)
            switch uses[slot] {
            case .live: if held(at: slot).hasSameKey(as: entry) { return nil }
            case .quarantined: break
            case .free:
                found = found ?? slot
                if unsafe entries[slot].state == RELAY_SLOT_EMPTY.rawValue { break search }
            }
        }
        guard let found else { return nil }
        if entry.hasAddresses { unsafe addresses[found] = entry.addresses }
        var written = entry.line
        written.state = unsafe entries[found].state
        unsafe entries[found] = written
        unsafe cbpf_publish_state(entries + found, RELAY_SLOT_LIVE.rawValue)
        uses[found] = .live
        liveCount += 1
        return SlotIndex(rawValue: found)
    }

    private func held(at slot: Int) -> Entry {
        unsafe Entry(line: entries[slot], addresses: addresses[slot])
    }

    /// Takes an entry away; from now on no look-up finds it.
    mutating func remove(_ slot: SlotIndex) {
        precondition(uses[slot.rawValue] == .live, "slot \(slot.rawValue) is not live")
        unsafe cbpf_publish_state(entries + slot.rawValue, RELAY_SLOT_REMOVED.rawValue)
        clearKey(slot.rawValue)
        uses[slot.rawValue] = .quarantined
        liveCount -= 1
        quarantine.append(slot)
    }

    /// No datagram has a key of zeros: its version is none. Cleared before the quarantine, so that whoever reads the slot
    /// after that finds no trace of the former entry, in whatever order a program reads.
    private func clearKey(_ slot: Int) {
        unsafe cbpf_clear_key(entries + slot)
    }

    mutating func setLease(_ slot: SlotIndex, _ lease: UInt32) {
        precondition(uses[slot.rawValue] == .live, "slot \(slot.rawValue) is not live")
        unsafe cbpf_set_lease(entries + slot.rawValue, lease)
    }

    mutating func setNextHop(_ slot: SlotIndex, _ nextHop: UInt16) {
        precondition(uses[slot.rawValue] == .live, "slot \(slot.rawValue) is not live")
        unsafe cbpf_set_next_hop(entries + slot.rawValue, nextHop)
    }

    mutating func setMeter(_ slot: SlotIndex, _ meter: MeterIndex) {
        precondition(uses[slot.rawValue] == .live, "slot \(slot.rawValue) is not live")
        unsafe cbpf_set_meter(entries + slot.rawValue, meter.rawValue)
    }

    /// Whether the program still sees the entry of a slot that is in use.
    func isLive(_ slot: SlotIndex) -> Bool {
        precondition(slot.rawValue < count, "there is no slot \(slot.rawValue)")
        return unsafe cbpf_state(entries + slot.rawValue) == RELAY_SLOT_LIVE.rawValue
    }

    /// Whether a slot holds what was once inserted there, `entry` with this next hop and meter; lease and traffic aside.
    func holds(_ entry: Entry, nextHop: UInt16, meter: MeterIndex, at slot: SlotIndex) -> Bool {
        precondition(uses[slot.rawValue] == .live, "slot \(slot.rawValue) is not live")
        var expected = entry
        var found = held(at: slot.rawValue)
        expected.line.state = RELAY_SLOT_LIVE.rawValue
        expected.line.next_hop = nextHop
        expected.line.meter = meter.rawValue
        expected.line.lease = found.line.lease
        expected.line.traffic = found.line.traffic
        if !entry.hasAddresses { found.addresses = expected.addresses }
        return unsafe withUnsafeBytes(of: &expected) { expected in
            unsafe withUnsafeBytes(of: &found) { unsafe expected.elementsEqual($0) }
        }
    }

    /// Packets and bytes that a slot's entry carried, packed as the program does.
    func traffic(_ slot: SlotIndex) -> UInt64 {
        precondition(slot.rawValue < count, "there is no slot \(slot.rawValue)")
        return unsafe cbpf_traffic(entries + slot.rawValue)
    }

    /// The slots that wait for their last readers; to be handed to ``sweep(_:)`` once those are gone.
    mutating func takeQuarantined() -> [SlotIndex] {
        defer { quarantine = [] }
        return quarantine
    }

    var hasQuarantined: Bool { !quarantine.isEmpty }

    /// Empties every slot that was used. Nobody may read them any more.
    mutating func clear() {
        for slot in 0..<count where unsafe uses[slot] != .free || entries[slot].state != RELAY_SLOT_EMPTY.rawValue {
            unsafe cbpf_publish_state(entries + slot, RELAY_SLOT_EMPTY.rawValue)
            clearKey(slot)
            uses[slot] = .free
        }
        quarantine = []
        liveCount = 0
    }

    /// Lets slots be used again, which nobody reads any more. At the end of a row of slots they become empty, so that
    /// look-ups stay short.
    mutating func sweep(_ slots: [SlotIndex]) {
        for slot in slots {
            precondition(uses[slot.rawValue] == .quarantined, "slot \(slot.rawValue) is not in quarantine")
            uses[slot.rawValue] = .free
        }
        for slot in slots { emptyRow(endingAt: slot.rawValue) }
    }

    private func emptyRow(endingAt last: Int) {
        guard unsafe entries[(last + 1) & (count - 1)].state == RELAY_SLOT_EMPTY.rawValue else { return }
        var slot = last
        while uses[slot] == .free, unsafe entries[slot].state == RELAY_SLOT_REMOVED.rawValue {
            unsafe cbpf_publish_state(entries + slot, RELAY_SLOT_EMPTY.rawValue)
            slot = (slot - 1) & (count - 1)
        }
    }
}
