import RelayCore
import STUN

/// A core with sessions in it, and a pretended worker round it that binds what it asks for.
struct CoreFixture: ~Copyable {
    /// One client with an allocation and a channel.
    struct Session {
        let client: TransportAddress
        let peer: TransportAddress
        let channel: UInt16
        var relay = SocketSlot(index: 0)
        var nonce: [UInt8] = []
    }

    static let listener = SocketSlot(index: 0)
    static let server = TransportAddress(IPAddress(v4: 0xC612_0001), port: 3478)
    static let key = IntegrityKey.longTerm(.md5, username: "bench", realm: "relayd", password: "secret")

    var core: RelayCore
    var effects = Effects()
    var moment = Moment(monotonic: Instant(nanoseconds: 1_000_000_000_000), wallSeconds: 1_800_000_000)
    private(set) var sessions: [Session] = []
    /// Routes that planes were told of.
    private(set) var routeChanges = 0
    private var nextSlot: UInt32 = 1
    private var openedSlot = SocketSlot(index: 0)
    private var answer: [UInt8] = []

    /// - Parameter isLimited: every datagram is counted in the meters of its allocation and user, and passes.
    init(sessions count: Int, isLimited: Bool = false) {
        var configuration = Configuration()
        configuration.users = [StaticUser(name: "bench", password: "secret")]
        configuration.relayAddresses = [RelayAddress(address: Self.server.ip)]
        configuration.relayPorts = 20_000...60_000
        configuration.allocationsPerUser = 0
        configuration.unauthenticatedRate = 0
        configuration.nonceLifetimeSeconds = 8 * 3600
        if isLimited {
            let most = RateLimit(bitsPerSecond: 100_000_000_000, packetsPerSecond: 100_000_000)
            (configuration.allocationRate, configuration.userRate) = (most, most)
        }
        guard let network = try? CIDR("198.18.0.0/15") else { preconditionFailure("a network of RFC 2544") }
        configuration.peerPolicy = PeerPolicy(profile: .public, allow: [network], deny: [])
        core = RelayCore(
            configuration, ledger: RelayLedger(relayAddresses: configuration.relayAddresses), entropy: .seeded(1),
            at: moment)
        core.listen(on: Self.listener, at: Self.server)
        for number in 0..<count { sessions.append(join(number)) }
    }

    /// The way of one client: challenge, Allocate, ChannelBind.
    mutating func join(_ number: Int) -> Session {
        var session = Session(
            client: TransportAddress(IPAddress(v4: 0xC612_4001 + UInt32(number)), port: 20_000),
            peer: TransportAddress(IPAddress(v4: 0xC612_8001 + UInt32(number)), port: 30_000), channel: 0x4000)
        deliver(encode(.request, .allocate, 1) { $0.appendRequestedTransport(17) }, from: session.client)
        session.nonce = nonce(of: answer)
        deliver(Self.allocate(session, id: 2), from: session.client)
        session.relay = openedSlot
        deliver(Self.bind(session, id: 3), from: session.client)
        precondition(answer.starts(with: [0x01, 0x09]), "ChannelBind was refused")
        return session
    }

    static func allocate(_ session: Session, id: UInt64) -> [UInt8] {
        encode(.request, .allocate, id, signedWith: key) { writer in
            writer.appendRequestedTransport(17)
            sign(session, &writer)
        }
    }

    static func bind(_ session: Session, id: UInt64) -> [UInt8] {
        encode(.request, .channelBind, id, signedWith: key) { writer in
            writer.appendChannelNumber(session.channel)
            writer.append(.xorPeerAddress, xorAddress: session.peer)
            sign(session, &writer)
        }
    }

    static func refresh(_ session: Session, id: UInt64, lifetimeSeconds: UInt32) -> [UInt8] {
        encode(.request, .refresh, id, signedWith: key) { writer in
            writer.append(.lifetime, uint32: lifetimeSeconds)
            sign(session, &writer)
        }
    }

    private static func sign(_ session: Session, _ writer: inout MessageWriter) {
        writer.append(.username, text: "bench")
        writer.append(.realm, text: "relayd")
        writer.append(.nonce, bytes: session.nonce.span.bytes)
    }

    private mutating func deliver(_ bytes: [UInt8], from client: TransportAddress) {
        core.receive(bytes.span.bytes, on: Self.listener, from: client, at: moment, into: &effects)
        perform(keepingAnswer: true)
    }

    /// Carries the effects out as a worker does, without sockets.
    mutating func perform(keepingAnswer: Bool = false) {
        var next = 0
        while next < effects.list.count {
            switch effects.list[next] {
            case .send(let range, from: _, to: _, dontFragment: _):
                if keepingAnswer { answer = copy(effects.bytes(range)) }
            case .openRelay(let request):
                openedSlot = SocketSlot(index: nextSlot)
                nextSlot += 1
                core.resume(.opened(request, openedSlot), at: moment, into: &effects)
            case .closeRelay(let slot):
                // The next allocation takes the slot again, as a worker's socket set does it.
                nextSlot = slot.index
            case .route:
                routeChanges += 1
            case .closeReserved, .note:
                break
            }
            next += 1
        }
        effects.removeAll()
    }
}

func nonce(of bytes: [UInt8]) -> [UInt8] {
    guard let message = try? Message(parsing: bytes.span.bytes), let nonce = message.first(.nonce) else {
        preconditionFailure("the first Allocate was not challenged")
    }
    return copy(nonce.value)
}
