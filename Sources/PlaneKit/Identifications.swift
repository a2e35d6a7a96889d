import STUN

/// IPv4 identifications for raw datagrams. The kernel would fill them in from a table so large that each one costs a
/// cache miss; this one fits.
///
/// To one destination they grow by small random steps, so that one comes again after 8,000 others at the earliest
/// (RFC 6864: fragments of two datagrams must not be taken for one), and who sees some of them learns little about how
/// many went elsewhere.
struct Identifications: ~Copyable {
    private static let count = 2_048
    private static let stepLimit: UInt16 = 8

    private var latest = FixedBuffer<UInt16>(repeating: 0, count: Identifications.count)
    private let secret: UInt64
    private var state: UInt64

    init() {
        var generator = SystemRandomNumberGenerator()
        secret = generator.next()
        state = generator.next() | 1
        for index in 0..<Self.count { latest[index] = generator.next() }
    }

    /// Never zero, which asks the kernel for one.
    mutating func next(to destination: IPAddress) -> UInt16 {
        // Xorshift: the steps are no secret, they only blur a count.
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        let place = Int(((destination.low ^ secret) &* 0x9E37_79B9_7F4A_7C15) >> 53)
        let step = 1 + UInt16(truncatingIfNeeded: state >> 32) % Self.stepLimit
        latest[place] &+= step
        return max(1, latest[place])
    }
}
