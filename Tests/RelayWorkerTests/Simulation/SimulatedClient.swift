import RelayCore
import STUN
import TestSeed

/// A TURN client as a state machine: one request at a time, retransmitted until it is answered.
final class SimulatedClient: Endpoint {
    /// What a client can ask of the relay.
    enum Wish {
        case binding
        case allocate(reservingNext: Bool = false, token: UInt64? = nil)
        case refresh(lifetimeSeconds: UInt32)
        case permit(TransportAddress)
        case bind(UInt16, TransportAddress)

        var method: STUN.Method {
            switch self {
            case .binding: .binding
            case .allocate: .allocate
            case .refresh: .refresh
            case .permit: .createPermission
            case .bind: .channelBind
            }
        }
    }

    /// What the relay answered.
    struct Answer: Equatable {
        /// Nothing for success.
        var error: UInt16?
        var mapped: TransportAddress?
        var relayed: TransportAddress?
        var token: UInt64?
        var lifetimeSeconds: UInt32?
    }

    private struct Transaction {
        let id: TransactionID
        let wish: Wish
        let bytes: [UInt8]
        let then: (Answer) -> Void
    }

    /// What the 401 told.
    private struct Challenge {
        let realm: String
        let nonce: [UInt8]
        let key: IntegrityKey
    }

    let address: TransportAddress
    let server: TransportAddress
    /// Its relayed transport address, once it has one.
    private(set) var relayed: TransportAddress?
    /// Peers whose ICMP errors were reported.
    private(set) var icmpPeers: [TransportAddress] = []
    /// Every answer as it came, repetitions too: whose, when, and the error if it was one.
    private(set) var answers: [(id: TransactionID, at: Instant, error: UInt16?)] = []
    private let world: World
    private let (username, password): (String, String)
    private var challenge: Challenge?
    private var waiting: [(wish: Wish, then: (Answer) -> Void)] = []
    private var pending: Transaction?
    private var channels: [UInt16: TransportAddress] = [:]

    private static let retransmitMilliseconds = 200
    private static let tryLimit = 60

    init(
        _ world: World, at address: TransportAddress, of server: TransportAddress, username: String = "alice",
        password: String = "secret"
    ) {
        self.world = world
        self.address = address
        self.server = server
        self.username = username
        self.password = password
        world.add(self, at: address)
    }

    /// Asks once everything asked before is answered.
    func request(_ wish: Wish, then: @escaping (Answer) -> Void = { _ in }) {
        waiting.append((wish, then))
        startNext()
    }

    /// Asks, and whatever is not success is a violation.
    func demand(_ wish: Wish, then: @escaping () -> Void = {}) {
        request(wish) { [world, address] answer in
            if let error = answer.error { world.violate("\(address): \(wish) answered \(error)") }
            then()
        }
    }

    /// Sends a payload over a channel.
    func send(_ bytes: [UInt8], channel: UInt16) {
        transmit([channel, UInt16(bytes.count)].flatMap { [UInt8($0 >> 8), UInt8(truncatingIfNeeded: $0)] } + bytes)
    }

    /// Sends a payload in a Send indication.
    func indicate(_ bytes: [UInt8], to peer: TransportAddress) {
        var writer = MessageWriter(capacityBytes: 2048)
        writer.begin(.indication, .send, newTransactionID())
        writer.append(.xorPeerAddress, xorAddress: peer)
        writer.append(.data, bytes: bytes.span.bytes)
        guard let range = writer.finish() else { return world.violate("an indication does not fit") }
        transmit(copy(writer.bytes(range)))
    }

    func transmit(_ bytes: [UInt8]) { world.transmit(Packet(from: address, to: server, bytes: bytes)) }

    private func startNext() {
        guard pending == nil, !waiting.isEmpty else { return }
        let (wish, then) = waiting.removeFirst()
        start(wish, then)
    }

    private func start(_ wish: Wish, _ then: @escaping (Answer) -> Void) {
        let id = newTransactionID()
        let transaction = Transaction(id: id, wish: wish, bytes: encode(wish, id), then: then)
        pending = transaction
        transmit(transaction, tries: 1)
    }

    private func transmit(_ transaction: Transaction, tries: Int) {
        guard pending?.id == transaction.id else { return }
        guard tries <= Self.tryLimit else { return world.violate("\(address): \(transaction.wish) was never answered") }
        transmit(transaction.bytes)
        world.after(milliseconds: Self.retransmitMilliseconds) { [weak self] in
            self?.transmit(transaction, tries: tries + 1)
        }
    }

    /// The bytes of a request, signed as soon as the server has told its realm and a nonce.
    func encode(_ wish: Wish, _ id: TransactionID) -> [UInt8] {
        var writer = MessageWriter(capacityBytes: 1024)
        writer.begin(.request, wish.method, id)
        switch wish {
        case .binding: break
        case .allocate(let reservingNext, let token):
            writer.appendRequestedTransport(17)
            if reservingNext { writer.appendEvenPort(reservingNext: true) }
            if let token { writer.append(.reservationToken, uint64: token) }
        case .refresh(let lifetimeSeconds): writer.append(.lifetime, uint32: lifetimeSeconds)
        case .permit(let peer): writer.append(.xorPeerAddress, xorAddress: peer)
        case .bind(let channel, let peer):
            writer.appendChannelNumber(channel)
            writer.append(.xorPeerAddress, xorAddress: peer)
        }
        var range: Range<Int>?
        if case .binding = wish {
            range = writer.finish()
        } else if let challenge {
            writer.append(.username, text: username)
            writer.append(.realm, text: challenge.realm)
            writer.append(.nonce, bytes: challenge.nonce.span.bytes)
            range = writer.finish(signedWith: challenge.key, .sha1)
        } else {
            range = writer.finish()
        }
        guard let range else { preconditionFailure("a request does not fit") }
        return copy(writer.bytes(range))
    }

    func newTransactionID() -> TransactionID {
        TransactionID(
            high: UInt32(truncatingIfNeeded: world.generator.next()), low: world.generator.next())
    }
}

/// What comes back.
extension SimulatedClient {
    func receive(_ packet: Packet) {
        guard packet.from == server else { return world.violate("\(address) was answered from \(packet.from)") }
        let datagram = packet.bytes.span.bytes
        if let header = ChannelData.parse(datagram) {
            guard let peer = channels[header.channel] else {
                return world.violate("\(address) got channel \(header.channel)")
            }
            return arrive(Array(packet.bytes[4..<4 + Int(header.payloadByteCount)]), from: peer)
        }
        guard let message = try? Message(parsing: datagram) else {
            return world.violate("\(address) got bytes that are no message")
        }
        switch message.messageClass {
        case .indication: receiveIndication(message)
        case .successResponse, .errorResponse: receiveAnswer(message)
        case .request: world.violate("\(address) got a request")
        }
    }

    private func receiveIndication(_ message: borrowing Message) {
        guard message.method == .data,
            let peer = message.first(.xorPeerAddress)?.xorAddress(message.transactionID)
        else { return world.violate("\(address) got an indication without a peer") }
        if message.first(.icmp)?.icmp != nil { return icmpPeers.append(peer) }
        guard let data = message.first(.data)?.value else {
            return world.violate("\(address) got an indication without data")
        }
        arrive(copy(data), from: peer)
    }

    private func arrive(_ bytes: [UInt8], from peer: TransportAddress) {
        if let wrong = world.payloads.arrive(bytes, at: address, from: peer) { world.violate(wrong) }
    }

    private func receiveAnswer(_ message: borrowing Message) {
        let error = message.first(.errorCode)?.errorCode
        answers.append((message.transactionID, world.now, error))
        // An answer to something that was answered before: a duplicate, or the answer to a retransmission.
        guard let transaction = pending, transaction.id == message.transactionID else { return }
        if error == 401 || error == 438 {
            takeChallenge(message)
            return start(transaction.wish, transaction.then)
        }
        if let challenge, message.method != .binding, !message.hasValidIntegrity(.sha1, key: challenge.key) {
            return world.violate("\(address) got an answer with a wrong signature")
        }
        var answer = Answer(error: error)
        answer.mapped = message.first(.xorMappedAddress)?.xorAddress(message.transactionID)
        answer.relayed = message.first(.xorRelayedAddress)?.xorAddress(message.transactionID)
        answer.token = message.first(.reservationToken)?.reservationToken
        answer.lifetimeSeconds = message.first(.lifetime)?.uint32
        if let mapped = answer.mapped, mapped != address { world.violate("\(address) was told that it is \(mapped)") }
        finish(transaction, answer)
    }

    private func takeChallenge(_ message: borrowing Message) {
        guard let realm = message.first(.realm)?.value, let nonce = message.first(.nonce)?.value else {
            return world.violate("\(address) got a challenge without realm or nonce")
        }
        let text = String(decoding: copy(realm), as: UTF8.self)
        challenge = Challenge(
            realm: text, nonce: copy(nonce),
            key: .longTerm(.md5, username: username, realm: text, password: password))
    }

    private func finish(_ transaction: Transaction, _ answer: Answer) {
        pending = nil
        if answer.error == nil {
            switch transaction.wish {
            case .allocate: relayed = answer.relayed
            case .bind(let channel, let peer): channels[channel] = peer
            case .refresh(lifetimeSeconds: 0): relayed = nil
            case .binding, .refresh, .permit: break
            }
        }
        transaction.then(answer)
        startNext()
    }

    private func copy(_ bytes: RawSpan) -> [UInt8] { bytes.withUnsafeBytes { Array($0) } }
}
