import STUN

/// A request or indication with its attributes found in one pass. Borrowed bytes, no copies.
///
/// Where an attribute stands twice the first one counts (RFC 8489 section 14); XOR-PEER-ADDRESS may repeat, see ``peers``.
struct Request: ~Escapable {
    /// Where an attribute's value stands in the message.
    typealias Value = Range<Int>

    let message: Message

    private(set) var username: Value?
    private(set) var userHash: UserHash?
    private(set) var realm: Value?
    private(set) var nonce: Value?
    private(set) var passwordAlgorithm: UInt16?
    private(set) var passwordAlgorithms: Value?

    private(set) var requestedTransport: UInt8?
    private(set) var requestedFamily: UInt8?
    private(set) var additionalFamily: UInt8?
    /// The R bit of EVEN-PORT: reserve the next port as well.
    private(set) var evenPort: Bool?
    private(set) var reservationToken: UInt64?
    private(set) var dontFragment = false
    private(set) var lifetimeSeconds: UInt32?
    private(set) var channelNumber: UInt16?
    private(set) var firstPeer: TransportAddress?
    private(set) var data: Value?

    /// An attribute was there, but its value was not of its form.
    private(set) var isMalformed = false
    private var unknownTypes: InlineArray<8, UInt16> = .init(repeating: 0)
    private(set) var unknownCount = 0
    private static let unknownLimit = 8

    @_lifetime(copy message)
    init(_ message: Message) {
        self.message = message
        var attributes = message.attributes
        while let attribute = attributes.next() {
            take(attribute)
        }
    }

    var transaction: TransactionID { message.transactionID }

    /// The integrity attribute that counts: the stronger one if both are there.
    var integrityKind: IntegrityKind? {
        if message.integrity.contains(.sha256) { return .sha256 }
        return message.integrity.contains(.sha1) ? .sha1 : nil
    }

    /// Comprehension-required types that nobody here understands, the first eight.
    var unknown: [AttributeType] { (0..<unknownCount).map { AttributeType(rawValue: unknownTypes[$0]) } }

    var hasUsernameOrHash: Bool { username != nil || userHash != nil }

    @_lifetime(copy self)
    func bytes(_ value: Value) -> RawSpan { message.bytes.extracting(value) }

    /// Calls `body` with every XOR-PEER-ADDRESS, in order.
    func forEachPeer(_ body: (TransportAddress) -> Void) {
        var attributes = message.attributes
        while let attribute = attributes.next() {
            guard attribute.type == .xorPeerAddress else { continue }
            if let peer = attribute.xorAddress(transaction) { body(peer) }
        }
    }

    private mutating func take(_ attribute: borrowing Attribute) {
        switch attribute.type {
        case .username, .userHash, .realm, .nonce, .passwordAlgorithm, .passwordAlgorithms:
            takeCredential(attribute)
        case .requestedTransport: Self.fill(&requestedTransport, &isMalformed, attribute.requestedTransport)
        case .requestedAddressFamily: Self.fill(&requestedFamily, &isMalformed, attribute.addressFamilyByte)
        case .additionalAddressFamily: Self.fill(&additionalFamily, &isMalformed, attribute.addressFamilyByte)
        case .evenPort: Self.fill(&evenPort, &isMalformed, attribute.evenPort)
        case .reservationToken: Self.fill(&reservationToken, &isMalformed, attribute.reservationToken)
        case .dontFragment: dontFragment = true
        case .lifetime: Self.fill(&lifetimeSeconds, &isMalformed, attribute.uint32)
        case .channelNumber: Self.fill(&channelNumber, &isMalformed, attribute.channelNumber)
        case .xorPeerAddress:
            // A malformed one condemns the message even when an earlier one was good.
            guard let peer = attribute.xorAddress(transaction) else { return isMalformed = true }
            if firstPeer == nil { firstPeer = peer }
        case .data: if data == nil { data = attribute.range }
        case .messageIntegrity, .messageIntegritySHA256, .fingerprint: break
        default: takeOther(attribute.type)
        }
    }

    private mutating func takeCredential(_ attribute: borrowing Attribute) {
        switch attribute.type {
        case .username: if username == nil { username = attribute.range }
        case .userHash: Self.fill(&userHash, &isMalformed, attribute.userHash)
        case .realm: if realm == nil { realm = attribute.range }
        case .nonce: if nonce == nil { nonce = attribute.range }
        case .passwordAlgorithms: if passwordAlgorithms == nil { passwordAlgorithms = attribute.range }
        default: Self.fill(&passwordAlgorithm, &isMalformed, attribute.passwordAlgorithmNumber)
        }
    }

    private mutating func takeOther(_ type: AttributeType) {
        guard type.isComprehensionRequired, !type.isUnderstoodByServer, unknownCount < Self.unknownLimit else { return }
        for index in 0..<unknownCount where unknownTypes[index] == type.rawValue { return }
        unknownTypes[unknownCount] = type.rawValue
        unknownCount += 1
    }

    private static func fill<Field>(_ field: inout Field?, _ isMalformed: inout Bool, _ value: Field?) {
        guard let value else { return isMalformed = true }
        if field == nil { field = value }
    }
}

extension Attribute {
    /// Where the value stands in the message.
    fileprivate var range: Range<Int> { valueOffset..<valueOffset + value.byteCount }
}

extension AttributeType {
    /// Comprehension-required attributes that a server reads past: they belong to answers, and say nothing in a
    /// request.
    fileprivate var isUnderstoodByServer: Bool {
        switch self {
        case .mappedAddress, .xorMappedAddress, .xorRelayedAddress, .errorCode, .unknownAttributes:
            true
        default: false
        }
    }
}
