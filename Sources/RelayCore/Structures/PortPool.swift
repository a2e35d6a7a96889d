/// The relay ports of one relay address as one worker of several sees them.
///
/// Ports come in pairs of an even port and the next one. Each worker owns every `workerCount`-th pair and takes from
/// its own as long as there are any, then from the others'; it does not see what the others have taken, a failing
/// bind tells (``markBusy(_:until:)``). Among the ports that would do, each is equally likely.
///
/// One pool takes 16 KB: a bit a port for "free" and for "ours".
struct PortPool {
    /// What an allocation asks for, RFC 8656 section 7.2.
    enum Shape: Sendable {
        case any
        /// An even port: EVEN-PORT without reservation.
        case even
        /// An even port whose successor is free too: both are taken, the even one is returned.
        case evenPairLow
    }

    private struct BusyPort {
        let port: UInt16
        var until: Instant
    }

    private static let wordCount = 1_024
    /// Random draws before the exact choice, which walks the bitmap: with half of the ports free, 1 in 256 walks.
    private static let drawLimit = 8
    /// Bit 0 of a word stands for an even port, so a pair never spans two words.
    private static let evenBits: UInt64 = 0x5555_5555_5555_5555

    private let ports: ClosedRange<UInt16>
    private var free = [UInt64](repeating: 0, count: PortPool.wordCount)
    private var own = [UInt64](repeating: 0, count: PortPool.wordCount)
    /// The first pair of our own that lies in the range, and how many there are.
    private let firstOwnPair: Int
    private let ownPairCount: Int
    private let pairStride: Int
    /// Ports that somebody else holds.
    private var busy: [BusyPort] = []

    /// All of `ports` free; pair `n` (ports `2n` and `2n + 1`) is the worker's own if `n % workerCount == worker`.
    init(ports: ClosedRange<UInt16>, worker: Int, of workerCount: Int) {
        precondition(workerCount > 0 && worker >= 0 && worker < workerCount)
        precondition(ports.lowerBound > 0, "port 0 is no relay port")
        self.ports = ports
        pairStride = workerCount
        let firstPair = Int(ports.lowerBound) / 2
        let lastPair = Int(ports.upperBound) / 2
        let offset = (worker - firstPair % workerCount + workerCount) % workerCount
        firstOwnPair = firstPair + offset
        ownPairCount = firstOwnPair > lastPair ? 0 : (lastPair - firstOwnPair) / workerCount + 1
        for port in ports {
            free[Self.word(port)] |= Self.bit(port)
            if Int(port) / 2 % workerCount == worker { own[Self.word(port)] |= Self.bit(port) }
        }
    }

    /// Takes a free port (or pair) of the wanted shape; nothing when none is free as far as this worker knows.
    mutating func take(
        _ shape: Shape, at now: Instant, using generator: inout some RandomNumberGenerator
    ) -> UInt16? {
        releaseLapsed(now)
        guard
            let port = draw(shape, using: &generator) ?? choose(shape, ownOnly: true, using: &generator)
                ?? choose(shape, ownOnly: false, using: &generator)
        else { return nil }
        free[Self.word(port)] &= ~Self.bit(port)
        if shape == .evenPairLow { free[Self.word(port)] &= ~Self.bit(port + 1) }
        return port
    }

    /// Takes `port` if it is in the range and free.
    mutating func takeSpecific(_ port: UInt16, at now: Instant) -> Bool {
        releaseLapsed(now)
        guard free[Self.word(port)] & Self.bit(port) != 0 else { return false }
        free[Self.word(port)] &= ~Self.bit(port)
        return true
    }

    /// Frees a port that was taken; of a pair, each port is given back by itself.
    mutating func giveBack(_ port: UInt16) {
        precondition(ports.contains(port) && free[Self.word(port)] & Self.bit(port) == 0, "\(port) was not taken")
        precondition(!busy.contains { $0.port == port }, "\(port) is somebody else's")
        free[Self.word(port)] |= Self.bit(port)
    }

    /// Turns a port that was taken, but that a bind found in somebody else's hands, into one that frees itself.
    mutating func markBusy(_ port: UInt16, until: Instant) {
        precondition(ports.contains(port) && free[Self.word(port)] & Self.bit(port) == 0, "\(port) was not taken")
        busy.append(BusyPort(port: port, until: until))
    }
}

extension PortPool {
    /// Own ports drawn at random until one of them will do; nothing after a few failures.
    private func draw(_ shape: Shape, using generator: inout some RandomNumberGenerator) -> UInt16? {
        guard ownPairCount > 0 else { return nil }
        for _ in 0..<Self.drawLimit {
            // One draw names a pair and one of its ports, so that ports of a half pair at the end of the range are
            // as likely as any.
            let drawn = Int.random(in: 0..<ownPairCount * 2, using: &generator)
            let low = UInt16((firstOwnPair + drawn / 2 * pairStride) * 2)
            let port = shape == .any ? low + UInt16(drawn & 1) : low
            if candidates(shape, in: Self.word(port)) & Self.bit(port) != 0 { return port }
        }
        return nil
    }

    /// One of the ports that will do, each equally likely: counted first, then found by its rank.
    private func choose(
        _ shape: Shape, ownOnly: Bool, using generator: inout some RandomNumberGenerator
    ) -> UInt16? {
        let words = Self.word(ports.lowerBound)...Self.word(ports.upperBound)
        var total = 0
        for word in words { total += candidates(shape, in: word, ownOnly: ownOnly).nonzeroBitCount }
        guard total > 0 else { return nil }
        var rank = Int.random(in: 0..<total, using: &generator)
        for word in words {
            var bits = candidates(shape, in: word, ownOnly: ownOnly)
            guard rank >= bits.nonzeroBitCount else {
                for _ in 0..<rank { bits &= bits - 1 }
                return UInt16(word * 64 + bits.trailingZeroBitCount)
            }
            rank -= bits.nonzeroBitCount
        }
        preconditionFailure("fewer candidates than were counted")
    }

    /// The free ports of a word that a shape may start at.
    private func candidates(_ shape: Shape, in word: Int, ownOnly: Bool = true) -> UInt64 {
        let bits = ownOnly ? free[word] & own[word] : free[word]
        switch shape {
        case .any: return bits
        case .even: return bits & Self.evenBits
        case .evenPairLow: return bits & bits >> 1 & Self.evenBits
        }
    }

    /// Frees the ports whose time as somebody else's is over.
    private mutating func releaseLapsed(_ now: Instant) {
        if busy.isEmpty { return }
        for entry in busy where entry.until <= now { free[Self.word(entry.port)] |= Self.bit(entry.port) }
        busy.removeAll { $0.until <= now }
    }

    private static func word(_ port: UInt16) -> Int { Int(port) / 64 }

    private static func bit(_ port: UInt16) -> UInt64 { 1 << UInt64(port % 64) }
}
