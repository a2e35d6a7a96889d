import STUN

/// A client of a scripted relay: it keeps its address, its credentials and the nonce that it was given last.
final class Client {
    let relay: Relay
    let address: TransportAddress
    let listener: Relay.Listener
    var credentials: Credentials
    private var transactionCount: UInt64 = 0

    init(
        _ relay: Relay, _ address: TransportAddress, on listener: Relay.Listener? = nil,
        user: String = "alice", password: String? = nil, _ scheme: Credentials.Scheme = .legacy
    ) {
        self.relay = relay
        self.address = address
        self.listener = listener ?? (address.family == .ipv4 ? .ipv4 : .ipv6)
        credentials = Credentials(username: user, password: password ?? "\(user)'s secret", scheme)
    }

    /// A client that has its nonce already.
    static func greeted(
        _ relay: Relay, _ address: TransportAddress, user: String = "alice", password: String? = nil,
        _ scheme: Credentials.Scheme = .legacy
    ) -> Client {
        let client = Client(relay, address, user: user, password: password, scheme)
        client.greet()
        return client
    }

    /// Asks without credentials and keeps the nonce of the challenge.
    @discardableResult
    func greet() -> [String] {
        let seen = deliver(encode(.request, .refresh, nextTransaction(), []))
        learnNonce()
        return seen
    }

    /// Takes over the nonce of the latest challenge.
    func learnNonce() { credentials.nonce = relay.latestNonce }

    func nextTransaction() -> TransactionID {
        transactionCount += 1
        return TransactionID(high: UInt32(address.port), low: transactionCount)
    }

    /// The bytes of a signed request.
    func request(_ method: STUN.Method, _ fields: [Field], transaction: TransactionID? = nil) -> [UInt8] {
        encode(.request, method, transaction ?? nextTransaction(), fields, signedWith: credentials)
    }

    /// Gives the relay a datagram; what came of it.
    @discardableResult
    func deliver(_ bytes: [UInt8]) -> [String] {
        relay.keys[address] = credentials.key
        return relay.deliver(bytes, on: listener.slot, from: address)
    }
}

/// The methods of TURN, signed.
extension Client {
    @discardableResult
    func allocate(_ fields: Field...) -> [String] { deliver(request(.allocate, [.udp] + fields)) }

    @discardableResult
    func refresh(_ fields: Field...) -> [String] { deliver(request(.refresh, fields)) }

    @discardableResult
    func permit(_ peers: TransportAddress...) -> [String] {
        deliver(request(.createPermission, peers.map { .peer($0) }))
    }

    @discardableResult
    func bind(_ number: UInt16, to peer: TransportAddress) -> [String] {
        deliver(request(.channelBind, [.channel(number), .peer(peer)]))
    }

    @discardableResult
    func indicate(_ text: String, to peer: TransportAddress, _ extra: Field...) -> [String] {
        deliver(encode(.indication, .send, nextTransaction(), [.peer(peer), .data(text)] + extra))
    }

    /// Channel data, padded as over a stream if told to.
    @discardableResult
    func say(_ text: String, on number: UInt16, padding: Int = 0) -> [String] {
        let length = text.utf8.count
        let header = [UInt8(number >> 8), UInt8(number & 0xFF), UInt8(length >> 8), UInt8(length & 0xFF)]
        return deliver(header + Array(text.utf8) + [UInt8](repeating: 0, count: padding))
    }
}
