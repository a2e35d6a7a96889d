import CRelayABI
import ReferenceRelay
import STUN

@testable import RelayCore

/// A UDP datagram without its headers: what every plane must make alike.
struct Datagram: Equatable {
    let source: TransportAddress
    let destination: TransportAddress
    let data: [UInt8]
}

extension Datagram {
    /// The datagram in an Ethernet frame; nothing if there is none.
    init?(_ frame: [UInt8]) {
        guard frame.count >= 42 else { return nil }
        let isIPv4 = frame[12] == 0x08
        let udp = isIPv4 ? 34 : 54
        func word(_ offset: Int) -> UInt64 { (0..<8).reduce(0) { $0 << 8 | UInt64(frame[offset + $1]) } }
        func address(_ offset: Int) -> IPAddress {
            isIPv4 ? IPAddress(v4: UInt32(word(offset) >> 32)) : IPAddress(v6High: word(offset), low: word(offset + 8))
        }
        func port(_ offset: Int) -> UInt16 { UInt16(frame[offset]) << 8 | UInt16(frame[offset + 1]) }
        source = TransportAddress(address(isIPv4 ? 26 : 22), port: port(udp))
        destination = TransportAddress(address(isIPv4 ? 30 : 38), port: port(udp + 2))
        data = Array(frame[(udp + 8)...])
    }
}

/// A core with the routes of a reference in its tables, as ChannelBind would put them there.
struct CoreModel: ~Copyable {
    private var core: RelayCore
    private var slots: [TransportAddress: SocketSlot] = [:]
    private var addresses: [TransportAddress] = []

    init(_ reference: ReferenceRelay) {
        core = RelayCore(
            Configuration(), ledger: RelayLedger(relayAddresses: []), entropy: .seeded(1),
            at: Moment(monotonic: Instant(nanoseconds: 0), wallSeconds: 0))
        for (index, route) in reference.routes.enumerated() { add(route, UInt32(index)) }
    }

    private mutating func slot(_ address: TransportAddress, _ role: SlotRole) -> SocketSlot {
        if let known = slots[address] { return known }
        let slot = SocketSlot(index: UInt32(addresses.count))
        addresses.append(address)
        slots[address] = slot
        core.slots[slot] = role
        return slot
    }

    private mutating func add(_ route: ReferenceRoute, _ index: UInt32) {
        let listener = slot(route.route.server, .listener(route.route.server))
        let relay = slot(route.route.relay, .relay(allocation: index, family: route.route.relay.family))
        core.traffic.reset(RouteID(index: index))
        _ = core.outbound.insert(
            ChannelKey(client: route.route.client, listener: listener, channel: route.route.channel.rawValue),
            OutboundRoute(peer: route.route.peer, relay: relay, route: RouteID(index: index), isActive: !route.isOver))
        _ = core.inbound.insert(
            PeerKey(relay: relay, peer: route.route.peer),
            InboundRoute(
                client: route.route.client, listener: listener, number: route.route.channel,
                route: RouteID(index: index),
                isActive: !route.isOver))
    }

    /// What a plane that asks the core sends for a frame, relayed again where it goes to a relayed address of this relay.
    mutating func relay(_ frame: Frame) -> Datagram? {
        var datagram = Datagram(source: frame.source, destination: frame.destination, data: frame.data)
        for _ in 0..<2 {
            guard let slot = slots[datagram.destination] else { break }
            guard case .forward(let hop) = core.classify(datagram.data.span.bytes, on: slot, from: datagram.source)
            else {
                return nil
            }
            let data =
                switch hop.framing {
                case .unwrap: Array(datagram.data[4..<(4 + Int(hop.payloadByteCount))])
                case .wrap(let channel): channelData(channel.rawValue, datagram.data)
                }
            datagram = Datagram(
                source: addresses[Int(hop.egress.index)], destination: hop.destination, data: data)
        }
        return datagram
    }
}
