import PlaneKit

/// Which receive buffers zero-copy sends still read from. A buffer that is pinned is neither given to the kernel nor
/// filled by a call.
///
/// The buffers that calls fill come in banks, of which one without pins is filled at a time. A send that would leave none
/// is refused the pin, and copies. So is one that would leave a group of the ring less than half of its buffers: with
/// all of them pinned, receives would end at once and begin again for as long as a device likes.
struct Pins: ~Copyable {
    /// Banks where sends may pin.
    static let usualBankCount = 4
    /// Buffers of a group that may be pinned at a time.
    static let groupLimit = BufferGroup.bufferCount / 2

    let bankCount: Int
    private var counts: FixedBuffer<Int>
    /// Pinned buffers by bank.
    private var bankPins: FixedBuffer<Int>
    /// Pinned buffers that the ring fills, by group.
    private var groupPins = FixedBuffer(repeating: 0, count: Inbox.bufferCount / BufferGroup.bufferCount)
    private var freeBankCount: Int
    /// Sends that hold a pin.
    private(set) var count = 0

    /// - Parameter bankCount: of ``Receiver/count`` buffers each, behind those of the inbox.
    init(bankCount: Int) {
        self.bankCount = bankCount
        freeBankCount = bankCount
        counts = FixedBuffer(repeating: 0, count: Inbox.bufferCount + bankCount * Receiver.count)
        bankPins = FixedBuffer(repeating: 0, count: bankCount)
    }

    func isPinned(_ buffer: Int) -> Bool { counts[buffer] > 0 }

    /// A bank without a pinned buffer.
    var freeBank: Int {
        for bank in 0..<bankCount where bankPins[bank] == 0 { return bank }
        preconditionFailure("the last bank was pinned")
    }

    /// Pins a buffer once more.
    /// - Returns: false where that would leave calls without a bank, or the ring with too few buffers; nothing is
    ///   pinned then.
    mutating func pin(_ buffer: Int) -> Bool {
        if counts[buffer] == 0, !takeAway(buffer) { return false }
        counts[buffer] += 1
        count += 1
        return true
    }

    /// Takes a buffer away from its bank or group, where that leaves enough of them.
    private mutating func takeAway(_ buffer: Int) -> Bool {
        guard let bank = Self.bank(of: buffer) else {
            let group = BufferGroup(ofBuffer: buffer).rawValue
            guard groupPins[group] < Self.groupLimit else { return false }
            groupPins[group] += 1
            return true
        }
        if bankPins[bank] == 0 {
            guard freeBankCount > 1 else { return false }
            freeBankCount -= 1
        }
        bankPins[bank] += 1
        return true
    }

    /// Takes back one pin.
    mutating func unpin(_ buffer: Int) {
        precondition(counts[buffer] > 0, "a send ended twice")
        counts[buffer] -= 1
        count -= 1
        if counts[buffer] == 0 { putBack(buffer) }
    }

    private mutating func putBack(_ buffer: Int) {
        guard let bank = Self.bank(of: buffer) else {
            groupPins[BufferGroup(ofBuffer: buffer).rawValue] -= 1
            return
        }
        bankPins[bank] -= 1
        if bankPins[bank] == 0 { freeBankCount += 1 }
    }

    /// Nothing for a buffer that the ring fills.
    private static func bank(of buffer: Int) -> Int? {
        buffer < Inbox.bufferCount ? nil : (buffer - Inbox.bufferCount) / Receiver.count
    }
}
