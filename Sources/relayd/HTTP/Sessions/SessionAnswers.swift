import RelayCore
import STUN

/// What `GET /sessions` says: sessions in the order of their ids.
struct SessionList: Codable, Sendable {
    var sessions: [SessionRow]
    /// The `after` of the request that goes on; nothing behind the last session.
    var next: String?
}

struct SessionRow: Codable, Sendable {
    let id: String
    let user: String
    let client: String
    let server: String
    let relayed: [String]
    let ageSeconds: UInt32
    /// Until it ends unless the client refreshes it.
    let lifetimeSeconds: UInt32
    let permissions: Int
    /// Channel bindings, those in their cool-down included.
    let channels: Int
    let traffic: TrafficAnswer
    /// Its datagrams that were dropped because it, or its user, went faster than allowed; those that XDP dropped in the
    /// kernel are not among them.
    let overLimitPackets: UInt64
    /// One of them within the last two seconds.
    let limited: Bool
    /// The traffic, told apart by planes.
    let planes: [String: TrafficAnswer]

    init(_ session: Session) {
        id = session.id.description
        user = session.summary.username
        client = session.summary.client.description
        server = session.summary.server.description
        relayed = session.summary.relayed.map(\.description)
        ageSeconds = session.ageSeconds
        lifetimeSeconds = session.lifetimeSeconds
        permissions = session.permissionCount
        channels = session.channelCount
        traffic = TrafficAnswer(session.traffic.total)
        overLimitPackets = session.overLimit.droppedCount
        limited = session.overLimit.isLimited
        planes = Dictionary(
            session.traffic.shares.map { ($0.plane, TrafficAnswer($0.traffic)) },
            uniquingKeysWith: { first, _ in first }
        )
    }
}

/// Payloads, without any header.
struct TrafficAnswer: Codable, Sendable {
    let packetsToPeers: UInt64
    let bytesToPeers: UInt64
    let packetsToClient: UInt64
    let bytesToClient: UInt64

    init(_ traffic: AllocationTraffic) {
        packetsToPeers = traffic.packetsToPeers
        bytesToPeers = traffic.bytesToPeers
        packetsToClient = traffic.packetsToClient
        bytesToClient = traffic.bytesToClient
    }
}

/// What `GET /sessions/ID` says.
struct SessionAnswerDetail: Codable, Sendable {
    struct Relay: Codable, Sendable {
        let local: String
        let relayed: String
        let lifetimeSeconds: UInt32
        /// The first 1,000.
        let permissions: [Permission]
        /// The first 1,000.
        let channels: [Channel]
    }

    struct Permission: Codable, Sendable {
        let peer: String
        let lifetimeSeconds: UInt32
    }

    struct Channel: Codable, Sendable {
        /// Hexadecimal, such as `0x4000`.
        let number: String
        let peer: String
        let lifetimeSeconds: UInt32
        let forwards: Bool
        let traffic: TrafficAnswer
    }

    let session: SessionRow
    let relays: [Relay]

    init(_ detail: SessionDetail) {
        session = SessionRow(detail.session)
        relays = detail.relays.map { relay in
            Relay(
                local: relay.local.description, relayed: relay.relayed.description,
                lifetimeSeconds: relay.lifetimeSeconds,
                permissions: relay.permissions.map {
                    Permission(peer: $0.peer.description, lifetimeSeconds: $0.lifetimeSeconds)
                },
                channels: relay.channels.map {
                    Channel(
                        number: "0x" + String($0.number.rawValue, radix: 16), peer: $0.peer.description,
                        lifetimeSeconds: $0.lifetimeSeconds, forwards: $0.isActive, traffic: TrafficAnswer($0.traffic))
                })
        }
    }
}

/// What `POST /kick` takes.
struct KickRequest: Codable, Sendable {
    let user: String
}

/// How many sessions were ended.
struct KickAnswer: Codable, Sendable {
    let kicked: Int
}
