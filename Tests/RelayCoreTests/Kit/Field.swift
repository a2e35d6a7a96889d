import STUN

@testable import RelayCore

/// One attribute of a request, as a script writes it down.
enum Field {
    case transport(UInt8)
    case lifetime(UInt32)
    /// REQUESTED-ADDRESS-FAMILY: 1 is IPv4, 2 is IPv6.
    case family(UInt8)
    /// ADDITIONAL-ADDRESS-FAMILY.
    case additional(UInt8)
    case evenPort(reserving: Bool)
    case token(UInt64)
    case dontFragment
    case channel(UInt16)
    case peer(TransportAddress)
    case data([UInt8])
    case raw(UInt16, [UInt8])

    static let udp = Field.transport(17)

    /// DATA that is text.
    static func data(_ text: String) -> Field { .data(Array(text.utf8)) }

    /// How many bytes it takes in a message, or somewhat more.
    var byteCountAtMost: Int {
        switch self {
        case .data(let bytes), .raw(_, let bytes): bytes.count + 8
        default: 24
        }
    }

    func append(to writer: inout MessageWriter) {
        switch self {
        case .transport(let number): writer.appendRequestedTransport(number)
        case .lifetime(let seconds): writer.append(.lifetime, uint32: seconds)
        case .family(let byte): writer.append(.requestedAddressFamily, uint32: UInt32(byte) << 24)
        case .additional(let byte): writer.append(.additionalAddressFamily, uint32: UInt32(byte) << 24)
        case .evenPort(let reserving): writer.appendEvenPort(reservingNext: reserving)
        case .token(let token): writer.append(.reservationToken, uint64: token)
        case .dontFragment: writer.append(.dontFragment)
        case .channel(let number): writer.appendChannelNumber(number)
        case .peer(let address): writer.append(.xorPeerAddress, xorAddress: address)
        case .data(let bytes): writer.append(.data, bytes: bytes.span.bytes)
        case .raw(let type, let bytes): writer.append(AttributeType(rawValue: type), bytes: bytes.span.bytes)
        }
    }
}

/// The credentials that a request carries; a script that lies takes out or replaces a part.
struct Credentials {
    /// How a client signs, RFC 8489 section 9.2.
    struct Scheme: CustomStringConvertible {
        /// The key; named in PASSWORD-ALGORITHM unless `isLegacy`.
        let algorithm: PasswordAlgorithm
        let kind: IntegrityKind
        /// Neither PASSWORD-ALGORITHMS nor PASSWORD-ALGORITHM: a client of RFC 5389.
        var isLegacy = false
        var hashesUsername = false

        static let legacy = Scheme(algorithm: .md5, kind: .sha1, isLegacy: true)
        static let modern = Scheme(algorithm: .sha256, kind: .sha256)

        /// Every way that RFC 8489 has.
        static let all: [Scheme] =
            [legacy, Scheme(algorithm: .md5, kind: .sha256, isLegacy: true)]
            + PasswordAlgorithm.allCases.flatMap { algorithm in
                IntegrityKind.allCases.flatMap { kind in
                    [false, true].map { Scheme(algorithm: algorithm, kind: kind, hashesUsername: $0) }
                }
            }

        var description: String {
            "\(algorithm)/\(kind)\(isLegacy ? " legacy" : "")\(hashesUsername ? " USERHASH" : "")"
        }
    }

    var username: [UInt8]?
    var userHash: UserHash?
    var realm: [UInt8]?
    var nonce: [UInt8]?
    /// The value of PASSWORD-ALGORITHMS.
    var offered: [UInt8]?
    /// PASSWORD-ALGORITHM.
    var chosen: UInt16?
    var key: IntegrityKey
    /// The integrity attributes, in order, with their sizes in bytes.
    var signatures: [(kind: IntegrityKind, byteCount: Int)]

    init(username: String, password: String, realm: String = "relayd", _ scheme: Scheme = .legacy) {
        if scheme.hashesUsername {
            userHash = UserHash(username: username, realm: realm)
        } else {
            self.username = Array(username.utf8)
        }
        self.realm = Array(realm.utf8)
        if !scheme.isLegacy {
            offered = [0, 2, 0, 0, 0, 1, 0, 0]
            chosen = scheme.algorithm.rawValue
        }
        key = .longTerm(scheme.algorithm, username: username, realm: realm, password: password)
        signatures = [(scheme.kind, scheme.kind.byteCount)]
    }

    /// Everything but the signature.
    func append(to writer: inout MessageWriter) {
        if let username { writer.append(.username, bytes: username.span.bytes) }
        if let userHash { writer.append(userHash) }
        if let realm { writer.append(.realm, bytes: realm.span.bytes) }
        if let nonce { writer.append(.nonce, bytes: nonce.span.bytes) }
        if let offered { writer.append(.passwordAlgorithms, bytes: offered.span.bytes) }
        if let chosen { writer.append(.passwordAlgorithm, uint32: UInt32(chosen) << 16) }
    }
}

/// The bytes of a message.
func encode(
    _ messageClass: MessageClass, _ method: STUN.Method, _ transaction: TransactionID, _ fields: [Field],
    signedWith credentials: Credentials? = nil, then trailing: [Field] = [], fingerprint: Bool = false
) -> [UInt8] {
    var writer = MessageWriter(capacityBytes: 1024 + (fields + trailing).reduce(0) { $0 + $1.byteCountAtMost })
    writer.begin(messageClass, method, transaction)
    for field in fields { field.append(to: &writer) }
    if let credentials {
        credentials.append(to: &writer)
        for signature in credentials.signatures {
            writer.appendIntegrity(signature.kind, key: credentials.key, byteCount: signature.byteCount)
        }
    }
    for field in trailing { field.append(to: &writer) }
    guard let range = writer.finish(fingerprint: fingerprint) else { preconditionFailure("too long a message") }
    return writer.bytes(range).copyBytes()
}
