import PlaneKit

/// Which receive buffers zero-copy sends still read from. A buffer that is pinned is neither given to the kernel nor
/// filled by a call.
///
/// The buffers that calls fill come in banks, of which one without pins is filled at a time. A send that would leave none
/// is refused the pin, and copies.
struct Pins: ~Copyable {
    /// Banks where sends may pin.
    static let usualBankCount = 4

    let bankCount: Int
    private var counts: FixedBuffer<Int>
    /// Pins by bank.
    private var bankPins: FixedBuffer<Int>
    private var freeBankCount: Int
    /// Sends that hold a pin.
    private(set) var count = 0

    /// - Parameter bankCount: of ``Receiver/bankCapacity`` buffers each, behind those of the inbox.
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
    /// - Returns: false where that would leave calls without a bank; nothing is pinned then.
    mutating func pin(_ buffer: Int) -> Bool {
        if let bank = Self.bank(of: buffer) {
            if bankPins[bank] == 0 {
                guard freeBankCount > 1 else { return false }
                freeBankCount -= 1
            }
            bankPins[bank] += 1
        }
        counts[buffer] += 1
        count += 1
        return true
    }

    /// Takes back one pin.
    mutating func unpin(_ buffer: Int) {
        precondition(counts[buffer] > 0, "a send ended twice")
        counts[buffer] -= 1
        count -= 1
        guard let bank = Self.bank(of: buffer) else { return }
        bankPins[bank] -= 1
        if bankPins[bank] == 0 { freeBankCount += 1 }
    }

    /// Nothing for a buffer that the ring fills.
    private static func bank(of buffer: Int) -> Int? {
        buffer < Inbox.bufferCount ? nil : (buffer - Inbox.bufferCount) / Receiver.count
    }
}
