import CRelayABI
public import RelayWorker

/// What the plane shows of itself.
public struct XDPStatistics: Sendable {
    /// Routes in the kernel now.
    public let routes: Int
    /// Routes that wait for room there; the slow path has them.
    public let waitingRoutes: Int
    /// Routes that found no room there when they were made, so far.
    public let refusedRoutes: UInt64
    /// Interface and mode of each attachment: `eth0 native`.
    public let attachments: [String]
    /// Of each interface that got an address of the relay and cannot have the program: why.
    public let refusals: [PlaneError]
    public let frames: [FrameCount]
}

/// How many frames ended in one way.
public struct FrameCount: Sendable {
    /// `forward`, `pass` or `drop`.
    public let verdict: String
    /// The path of what was forwarded (`ipv4_channel_to_ipv6_udp`), or the reason.
    public let reason: String
    public let packets: UInt64
    public let bytes: UInt64

    /// Every counter of the program; of the paths the twelve that there are.
    static func all(of program: XDPProgram) -> [FrameCount] {
        names.map { index, verdict, reason in
            let count = program.count(of: index)
            return FrameCount(verdict: verdict, reason: reason, packets: count.packets, bytes: count.bytes)
        }
    }

    static let names: [(index: UInt32, verdict: String, reason: String)] = {
        let paths: [(UInt32, String, String)] = (0..<RELAY_PATHS.rawValue).compactMap { path in
            let isChannel = (
                from: path & RELAY_PATH_IN_CHANNEL.rawValue != 0, to: path & RELAY_PATH_OUT_CHANNEL.rawValue != 0
            )
            guard isChannel.from || isChannel.to else { return nil }
            let from = path & RELAY_PATH_IN_IPV6.rawValue != 0 ? "ipv6" : "ipv4"
            let to = path & RELAY_PATH_OUT_IPV6.rawValue != 0 ? "ipv6" : "ipv4"
            let name = "\(from)_\(isChannel.from ? "channel" : "udp")_to_\(to)_\(isChannel.to ? "channel" : "udp")"
            return (path, "forward", name)
        }
        return paths + reasons.map { ($0.rawValue, $0.rawValue >= RELAY_DROP_TTL.rawValue ? "drop" : "pass", $1) }
    }()

    private static let reasons: [(relay_reason, String)] = [
        (RELAY_PASS_NOT_CONFIGURED, "not_configured"), (RELAY_PASS_NOT_IP, "not_ip"), (RELAY_PASS_VLAN, "vlan"),
        (RELAY_PASS_GROUP, "group"), (RELAY_PASS_IPV4_OPTIONS, "ipv4_options"), (RELAY_PASS_FRAGMENT, "fragment"),
        (RELAY_PASS_NOT_UDP, "not_udp"), (RELAY_PASS_IPV6_EXTENSION, "ipv6_extension"),
        (RELAY_PASS_BAD_LENGTH, "bad_length"), (RELAY_PASS_NOT_CHANNEL_DATA, "not_channel_data"),
        (RELAY_PASS_NO_CHANNEL, "no_channel"), (RELAY_PASS_NO_PEER, "no_peer"), (RELAY_PASS_LEASE_OVER, "lease_over"),
        (RELAY_PASS_NO_CHECKSUM, "no_checksum"), (RELAY_PASS_PADDING, "padding"),
        (RELAY_PASS_NO_NEXT_HOP, "no_next_hop"), (RELAY_PASS_TOO_BIG, "too_big"),
        (RELAY_PASS_NO_HEADROOM, "no_headroom"), (RELAY_PASS_NO_HAIRPIN, "no_hairpin"),
        (RELAY_PASS_BAD_HEADER, "bad_header"),
        (RELAY_DROP_TTL, "ttl"), (RELAY_DROP_REWRITE, "rewrite"), (RELAY_DROP_RATE, "rate"),
    ]
}
