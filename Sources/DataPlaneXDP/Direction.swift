import CRelayABI
import RelayCore
import STUN

/// One direction of a route: the datagrams that it takes and how they leave.
///
/// Both ends are described alike, so that the twelve paths need no names: a five-tuple, and a channel number where the
/// data is channel data.
struct Direction: Hashable {
    struct End: Hashable {
        let source: TransportAddress
        let destination: TransportAddress
        let channel: ChannelNumber?
    }

    let arriving: End
    let leaving: End

    static func toPeer(_ route: Route) -> Direction {
        Direction(
            arriving: End(source: route.client, destination: route.server, channel: route.channel),
            leaving: End(source: route.relay, destination: route.peer, channel: nil))
    }

    static func toClient(_ route: Route) -> Direction {
        Direction(
            arriving: End(source: route.peer, destination: route.relay, channel: nil),
            leaving: End(source: route.server, destination: route.client, channel: route.channel))
    }

    /// The entry for the program, not yet live.
    ///
    /// - Parameters:
    ///   - lease: in units of the program's clock.
    ///   - flags: of `relay_entry_flag`.
    ///   - seed: makes the flow labels hard to guess.
    func entry(lease: UInt32, nextHop: UInt16, meter: MeterIndex = .none, flags: UInt8, seed: UInt64) -> Entry {
        var entry = relay_entry()
        var addresses = relay_addresses()
        entry.lease = lease
        entry.next_hop = nextHop
        entry.meter = meter.rawValue
        entry.flags = flags
        entry.in_source_port = arriving.source.port.bigEndian
        entry.in_destination_port = arriving.destination.port.bigEndian
        entry.in_channel = (arriving.channel?.rawValue ?? 0).bigEndian
        entry.in_version = arriving.source.ip.version
        entry.out_source_port = leaving.source.port.bigEndian
        entry.out_destination_port = leaving.destination.port.bigEndian
        entry.out_channel = (leaving.channel?.rawValue ?? 0).bigEndian
        entry.out_version = leaving.source.ip.version
        if let source = arriving.source.ip.v4Bits, let destination = arriving.destination.ip.v4Bits {
            entry.in_source4 = source.bigEndian
            entry.in_destination4 = destination.bigEndian
        } else {
            addresses.in_source = arriving.source.ip.networkWords
            addresses.in_destination = arriving.destination.ip.networkWords
            let digest = relay_digest6(
                addresses.in_source.0, addresses.in_source.1, addresses.in_destination.0, addresses.in_destination.1,
                seed)
            entry.in_source4 = UInt32(truncatingIfNeeded: digest)
            entry.in_destination4 = UInt32(truncatingIfNeeded: digest >> 32)
        }
        if let source = leaving.source.ip.v4Bits, let destination = leaving.destination.ip.v4Bits {
            entry.out_source4 = source.bigEndian
            entry.out_destination4 = destination.bigEndian
        } else {
            addresses.out_source = leaving.source.ip.networkWords
            addresses.out_destination = leaving.destination.ip.networkWords
            entry.flow_label = flowLabel(seed: seed).bigEndian
        }
        entry.udp_delta = udpDelta.bigEndian
        entry.ip_delta = ipDelta.bigEndian
        return Entry(line: entry, addresses: addresses)
    }

    /// What addresses, ports and channel numbers change in the sum under the UDP checksum. Lengths change per packet.
    private var udpDelta: UInt16 {
        var sum = OnesComplement()
        for address in [leaving.source, leaving.destination] {
            sum.add(address.ip)
            sum.add(address.port)
        }
        for address in [arriving.source, arriving.destination] {
            sum.remove(address.ip)
            sum.remove(address.port)
        }
        if let channel = leaving.channel { sum.add(channel.rawValue) }
        if let channel = arriving.channel { sum.remove(channel.rawValue) }
        return sum.folded
    }

    /// What the addresses change in the sum under the IPv4 header's checksum. On a hairpin the two entries' deltas add
    /// up, so each says only what it knows.
    private var ipDelta: UInt16 {
        var sum = OnesComplement()
        for address in [leaving.source.ip, leaving.destination.ip] where address.family == .ipv4 { sum.add(address) }
        for address in [arriving.source.ip, arriving.destination.ip] where address.family == .ipv4 {
            sum.remove(address)
        }
        return sum.folded
    }

    /// The flow label of RFC 6437: the same for a five-tuple, in 20 bits, never 0.
    func flowLabel(seed: UInt64) -> UInt32 {
        let source = leaving.source.ip, destination = leaving.destination.ip
        let ports = UInt64(leaving.source.port) << 16 | UInt64(leaving.destination.port)
        let hash = relay_hash6(
            relay_digest6(source.high, source.low, destination.high, destination.low, ~seed), ports)
        return max(1, UInt32(truncatingIfNeeded: hash) & 0xF_FFFF)
    }
}

extension IPAddress {
    /// 4 or 6.
    var version: UInt8 { family == .ipv4 ? 4 : 6 }

    /// The sixteen bytes of an IPv6 address as they stand in packets.
    var networkWords: (UInt64, UInt64) { (high.bigEndian, low.bigEndian) }
}

/// What the program reads of one direction.
struct Entry {
    var line: relay_entry
    /// Of IPv6, where that arrives or leaves.
    var addresses: relay_addresses

    var hasAddresses: Bool { line.in_version == 6 || line.out_version == 6 }

    private var ports: UInt64 {
        UInt64(line.in_source_port) | UInt64(line.in_destination_port) << 16 | UInt64(line.in_channel) << 32
            | UInt64(line.in_version) << 48
    }

    /// Where a look-up of this entry's key begins, before the mask.
    func firstSlot(seed: UInt64) -> UInt64 {
        let word = UInt64(line.in_source4) | UInt64(line.in_destination4) << 32
        return line.in_version == 4 ? relay_hash4(word, ports, seed) : relay_hash6(word, ports)
    }

    /// Whether both take the same datagrams.
    func hasSameKey(as other: Entry) -> Bool {
        guard ports == other.ports, line.in_source4 == other.line.in_source4,
            line.in_destination4 == other.line.in_destination4
        else { return false }
        return line.in_version == 4
            || addresses.in_source == other.addresses.in_source
                && addresses.in_destination == other.addresses.in_destination
    }
}
