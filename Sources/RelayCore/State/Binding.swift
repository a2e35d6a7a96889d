import STUN

/// A permission: one peer address that may send to one relayed transport address (RFC 8656 section 9).
struct Permission {
    let allocation: UInt32
    let relay: SocketSlot
    let peer: IPAddress
    var expires: Instant
}

/// A channel binding (RFC 8656 section 12). The number and the peer stay bound to each other through the cool-down.
struct Channel {
    let allocation: UInt32
    let relay: SocketSlot
    let number: ChannelNumber
    /// The peer as it stands in packets on this host.
    let peer: TransportAddress
    var expires: Instant
    /// It forwards: the binding and the permission are both alive.
    var isActive = false

    var coolDownEnds: Instant { expires.advanced(bySeconds: RFC8656.channelCoolDownSeconds) }
}

/// Where channel data from a client goes: one entry a channel, one cache line with its key.
struct OutboundRoute: BitwiseCopyable {
    let peer: TransportAddress
    let relay: SocketSlot
    let route: RouteID
    var isActive: Bool
}

/// Where a peer's datagrams go: one entry a channel, one cache line with its key.
struct InboundRoute: BitwiseCopyable {
    let client: TransportAddress
    let listener: SocketSlot
    let number: ChannelNumber
    let route: RouteID
    var isActive: Bool
}

/// The wheel's tokens: four bits of kind, 28 of index, 32 of generation.
enum TimerToken {
    case allocation(PoolHandle)
    case permission(PoolHandle)
    case channel(PoolHandle)
    case reservation(PoolHandle)

    init(rawValue: UInt64) {
        let handle = PoolHandle(
            index: UInt32(truncatingIfNeeded: rawValue >> 32) & 0x0FFF_FFFF,
            generation: UInt32(truncatingIfNeeded: rawValue))
        switch rawValue >> 60 {
        case 0: self = .allocation(handle)
        case 1: self = .permission(handle)
        case 2: self = .channel(handle)
        default: self = .reservation(handle)
        }
    }

    var rawValue: UInt64 {
        switch self {
        case .allocation(let handle): Self.pack(0, handle)
        case .permission(let handle): Self.pack(1, handle)
        case .channel(let handle): Self.pack(2, handle)
        case .reservation(let handle): Self.pack(3, handle)
        }
    }

    private static func pack(_ kind: UInt64, _ handle: PoolHandle) -> UInt64 {
        precondition(handle.index < 1 << 28, "more timers than a token can name")
        return kind << 60 | UInt64(handle.index) << 32 | UInt64(handle.generation)
    }
}
