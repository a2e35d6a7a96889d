import PlaneTestKit
import RelayCore
import STUN

/// A TURN client that waits for its answers.
final class StageClient {
    struct Refused: Error { let code: UInt16? }

    /// What a client hears besides answers.
    enum Heard: Equatable {
        case channel(UInt16, [UInt8])
        case data([UInt8], from: TransportAddress)
        case icmp(ICMPAttribute, peer: TransportAddress)
    }

    static let username = "alice"
    static let password = "wonderland"

    let socket: TestSocket
    let server: TransportAddress
    private(set) var relayed: TransportAddress?
    private var challenge: (realm: String, nonce: [UInt8], key: IntegrityKey)?
    private var transactionCount: UInt64 = 0

    init(_ stage: RelayStage, _ family: AddressFamily) throws {
        socket = try stage.socket(in: stage.clients, family)
        server = RelayStage.listeners[family == .ipv4 ? 0 : 1]
    }

    // MARK: Requests

    func allocate(_ family: AddressFamily) throws {
        relayed = try request(.allocate) { writer in
            writer.appendRequestedTransport(17)
            writer.append(.requestedAddressFamily, family: family)
        }
    }

    func permit(_ peer: TransportAddress) throws {
        try request(.createPermission) { $0.append(.xorPeerAddress, xorAddress: peer) }
    }

    func bind(_ channel: UInt16, to peer: TransportAddress) throws {
        try request(.channelBind) { writer in
            writer.appendChannelNumber(channel)
            writer.append(.xorPeerAddress, xorAddress: peer)
        }
    }

    func release() throws {
        try request(.refresh) { $0.append(.lifetime, uint32: 0) }
    }

    @discardableResult
    private func request(
        _ method: STUN.Method, _ fill: (inout MessageWriter) -> Void
    ) throws -> TransportAddress? {
        for _ in 0..<3 {
            let (bytes, id) = encode(.request, method, fill)
            socket.send(bytes, to: server)
            switch awaitAnswer(to: id) {
            case .success(let relayed): return relayed
            case .challenged: continue
            case .refused(let code): throw Refused(code: code)
            }
        }
        throw Refused(code: 401)
    }

    private enum Answer {
        case success(relayed: TransportAddress?)
        case challenged
        case refused(UInt16?)
    }

    /// Datagrams that come before the answer are passed over.
    private func awaitAnswer(to id: TransactionID) -> Answer {
        for _ in 0..<1000 {
            guard let datagram = socket.receive() else { return .refused(nil) }
            guard let message = try? Message(parsing: datagram.bytes.span.bytes), message.transactionID == id else {
                continue
            }
            guard message.messageClass == .errorResponse else {
                return .success(relayed: message.first(.xorRelayedAddress)?.xorAddress(id))
            }
            let code = message.first(.errorCode)?.errorCode
            guard code == 401 || code == 438, let realm = message.first(.realm)?.value,
                let nonce = message.first(.nonce)?.value
            else { return .refused(code) }
            let text = String(decoding: copy(realm), as: UTF8.self)
            challenge = (
                text, copy(nonce),
                .longTerm(.md5, username: Self.username, realm: text, password: Self.password)
            )
            return .challenged
        }
        return .refused(nil)
    }

    private func encode(
        _ messageClass: MessageClass, _ method: STUN.Method, _ fill: (inout MessageWriter) -> Void
    ) -> (bytes: [UInt8], id: TransactionID) {
        transactionCount += 1
        let id = TransactionID(high: UInt32(socket.address.port), low: transactionCount)
        var writer = MessageWriter(capacityBytes: 66_000)
        writer.begin(messageClass, method, id)
        fill(&writer)
        var range: Range<Int>?
        if messageClass == .request, let challenge {
            writer.append(.username, text: Self.username)
            writer.append(.realm, text: challenge.realm)
            writer.append(.nonce, bytes: challenge.nonce.span.bytes)
            range = writer.finish(signedWith: challenge.key, .sha1)
        } else {
            range = writer.finish()
        }
        guard let range else { preconditionFailure("a message does not fit") }
        return (copy(writer.bytes(range)), id)
    }

    // MARK: Data

    func say(_ payload: [UInt8], on channel: UInt16, padding: Int = 0) {
        socket.send(channelData(channel, payload) + [UInt8](repeating: 0, count: padding), to: server)
    }

    func indicate(_ payload: [UInt8], to peer: TransportAddress) {
        let (bytes, _) = encode(.indication, .send) { writer in
            writer.append(.xorPeerAddress, xorAddress: peer)
            writer.append(.data, bytes: payload.span.bytes)
        }
        socket.send(bytes, to: server)
    }

    /// The next thing that the relay sends without being asked, waited for up to two seconds.
    func hear(waitMilliseconds: Int32 = 2_000) -> Heard? {
        guard let datagram = socket.receive(waitMilliseconds: waitMilliseconds) else { return nil }
        let bytes = datagram.bytes
        if let header = ChannelData.parse(bytes.span.bytes) {
            return .channel(header.channel, Array(bytes[4..<4 + Int(header.payloadByteCount)]))
        }
        guard let message = try? Message(parsing: bytes.span.bytes),
            let peer = message.first(.xorPeerAddress)?.xorAddress(message.transactionID)
        else { return nil }
        if let icmp = message.first(.icmp)?.icmp { return .icmp(icmp, peer: peer) }
        guard let data = message.first(.data)?.value else { return nil }
        return .data(copy(data), from: peer)
    }

    private func copy(_ bytes: RawSpan) -> [UInt8] { bytes.withUnsafeBytes { Array($0) } }
}

/// A client with an allocation, a peer, and a channel between them that the stage's plane relays.
final class StageSession {
    static let channel: UInt16 = 0x4000

    /// It keeps its sessions, so they must not keep it.
    unowned let stage: RelayStage
    let families: RelayStage.Families
    let client: StageClient
    let peer: TestSocket
    let relayed: TransportAddress

    init(_ stage: RelayStage, _ families: RelayStage.Families) throws {
        self.stage = stage
        self.families = families
        client = try StageClient(stage, families.client)
        peer = try stage.socket(in: stage.peers, families.peer)
        try client.allocate(families.peer)
        guard let relayed = client.relayed else { throw StageClient.Refused(code: nil) }
        self.relayed = relayed
        try client.bind(Self.channel, to: peer.address)
        try warmUp()
    }

    struct NotInKernel: Error {}

    /// The kernel must have found the neighbours before it forwards.
    private func warmUp() throws {
        for _ in 0..<200 {
            let before = stage.forwardedInKernel
            client.say([1], on: Self.channel)
            _ = peer.receive()
            peer.send([2], to: relayed)
            _ = client.hear()
            if !stage.stack.forwardsInKernel || stage.forwardedInKernel == before + 2 { return }
        }
        throw NotInKernel()
    }
}
