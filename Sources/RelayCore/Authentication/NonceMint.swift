import Crypto
import STUN

/// Stateless nonces: minted from the time and the client's address, checked without memory.
///
/// A nonce is 24 characters: the cookie `obMatJos2` with the security feature bits (13 characters, RFC 8489 section 9.2),
/// then the base64 of 8 bytes: the low 16 bits of the minting second, and 48 bits of an HMAC-SHA256 over that second,
/// the feature bits and the client's transport address. A key mints for eight hours and is good for eight more, so that
/// its 16-bit second never comes round: that takes 18.2 hours.
struct NonceMint {
    /// RFC 8489 section 18.1. Bit 0 is the leftmost of 24.
    struct Features: OptionSet {
        let rawValue: UInt32
        static let passwordAlgorithms = Features(rawValue: 1 << 23)
        static let usernameAnonymity = Features(rawValue: 1 << 22)
    }

    static let byteCount = 24
    static let longestLifetimeSeconds: UInt32 = 8 * 3600

    /// What a nonce turned out to be.
    enum Judgement {
        case good
        /// Ours once, or never: the client gets a fresh one.
        case stale
    }

    private var prefix: [UInt8] = []
    private var features: Features = []
    private var lifetimeSeconds: UInt32 = 0
    private var key: SymmetricKey
    private var previousKey: SymmetricKey
    private var rotatesAt: UInt64

    init(features: Features, lifetimeSeconds: UInt32, at second: UInt64, entropy: inout EntropySource) {
        key = SymmetricKey(data: entropy.bytes(32))
        previousKey = SymmetricKey(data: entropy.bytes(32))
        rotatesAt = second + UInt64(Self.longestLifetimeSeconds)
        reconfigure(features: features, lifetimeSeconds: lifetimeSeconds)
    }

    /// Keeps the keys, so that nonces which still fit stay good. Those of other features are stale from now on.
    mutating func reconfigure(features: Features, lifetimeSeconds: UInt32) {
        self.features = features
        self.lifetimeSeconds = min(lifetimeSeconds, Self.longestLifetimeSeconds)
        let bits = features.rawValue
        prefix =
            Array("obMatJos2".utf8)
            + Base64.encode([UInt8(bits >> 16 & 0xFF), UInt8(bits >> 8 & 0xFF), UInt8(bits & 0xFF)])
    }

    /// A fresh nonce for `client`.
    mutating func mint(for client: TransportAddress, at second: UInt64, entropy: inout EntropySource) -> [UInt8] {
        rotateIfDue(at: second, entropy: &entropy)
        return compose(client, second: UInt16(truncatingIfNeeded: second), key: key)
    }

    /// Whether `nonce` was minted here, for `client`, within the lifetime.
    func judge(_ nonce: RawSpan, from client: TransportAddress, at second: UInt64) -> Judgement {
        guard nonce.byteCount == Self.byteCount else { return .stale }
        let given = nonce.copyBytes()
        guard let stamp = Base64.decode(given[prefix.count...]) else { return .stale }
        let minted = UInt16(stamp[0]) << 8 | UInt16(stamp[1])
        guard UInt32(UInt16(truncatingIfNeeded: second) &- minted) <= lifetimeSeconds else { return .stale }
        // Keys change when a nonce is minted, which may be long ago: a key that is too old by now is passed over.
        let isOurs =
            second < rotatesAt + UInt64(Self.longestLifetimeSeconds)
            && constantTimeEqual(compose(client, second: minted, key: key), given)
            || second < rotatesAt
                && constantTimeEqual(compose(client, second: minted, key: previousKey), given)
        return isOurs ? .good : .stale
    }

    private mutating func rotateIfDue(at second: UInt64, entropy: inout EntropySource) {
        guard second >= rotatesAt else { return }
        // After a long silence the key before is too old as well.
        let isRecent = second < rotatesAt + UInt64(Self.longestLifetimeSeconds)
        previousKey = isRecent ? key : SymmetricKey(data: entropy.bytes(32))
        key = SymmetricKey(data: entropy.bytes(32))
        rotatesAt = second + UInt64(Self.longestLifetimeSeconds)
    }

    private func compose(_ client: TransportAddress, second: UInt16, key: SymmetricKey) -> [UInt8] {
        var input: [UInt8] = []
        input.reserveCapacity(32)
        input.append(bigEndian: UInt32(second))
        input.append(bigEndian: features.rawValue)
        input.append(bigEndian: client.ip.high)
        input.append(bigEndian: client.ip.low)
        input.append(bigEndian: UInt32(client.port) << 8 | UInt32(client.family.rawValue))
        let code = HMAC<SHA256>.authenticationCode(for: input, using: key)
        let stamp = [UInt8(second >> 8), UInt8(second & 0xFF)] + code.prefix(6)
        return prefix + Base64.encode(stamp)
    }
}

extension [UInt8] {
    mutating func append<Integer: FixedWidthInteger>(bigEndian value: Integer) {
        for shift in stride(from: Integer.bitWidth - 8, through: 0, by: -8) {
            append(UInt8(truncatingIfNeeded: value >> Integer(shift)))
        }
    }
}

/// Compares secrets without telling by the time taken where they differ.
func constantTimeEqual(_ left: [UInt8], _ right: [UInt8]) -> Bool {
    guard left.count == right.count else { return false }
    var difference: UInt8 = 0
    for index in left.indices { difference |= left[index] ^ right[index] }
    return difference == 0
}
