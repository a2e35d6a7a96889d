public import RelayCore
public import STUN

/// Where frames of a direction go next.
public struct ReferenceHop: Sendable, Equatable {
    public var mtu: Int
    public var destination: [UInt8]
    public var source: [UInt8]
    /// It leaves by another interface.
    public var isElsewhere: Bool

    public init(mtu: Int, destination: [UInt8], source: [UInt8], isElsewhere: Bool = false) {
        self.mtu = mtu
        self.destination = destination
        self.source = source
        self.isElsewhere = isElsewhere
    }
}

/// A route and what the program is told of it.
public struct ReferenceRoute {
    public var route: Route
    public var toPeer: ReferenceHop
    public var toClient: ReferenceHop
    public var flowLabelToPeer: UInt32
    public var flowLabelToClient: UInt32
    public var isOver = false

    public init(
        _ route: Route, toPeer: ReferenceHop, toClient: ReferenceHop, flowLabelToPeer: UInt32, flowLabelToClient: UInt32
    ) {
        self.route = route
        self.toPeer = toPeer
        self.toClient = toClient
        self.flowLabelToPeer = flowLabelToPeer
        self.flowLabelToClient = flowLabelToClient
    }
}

/// What becomes of a frame, and why.
public enum ReferenceVerdict: Equatable {
    /// It leaves with these bytes.
    case leaves([UInt8], isElsewhere: Bool, payloadByteCount: Int)
    case passes(Pass)
    case drops

    public enum Pass: Equatable {
        case group, badLength, notChannelData, noChannel, noPeer, leaseOver, noChecksum, padding, tooBig, noHairpin
        case badHeader
    }
}

/// The relay as one would write it without a thought of speed: a plain list of routes, packets as values, every
/// checksum summed from scratch. What the program in the kernel is compared with.
public struct ReferenceRelay {
    public var routes: [ReferenceRoute]
    public let relayPorts: ClosedRange<UInt16>
    public let relayAddresses: [IPAddress]

    public init(routes: [ReferenceRoute], relayPorts: ClosedRange<UInt16>, relayAddresses: [IPAddress]) {
        self.routes = routes
        self.relayPorts = relayPorts
        self.relayAddresses = relayAddresses
    }

    public func judge(_ frame: Frame) -> ReferenceVerdict {
        if frame.ethernetDestination[0] & 1 == 1 { return .passes(.group) }
        return relayPorts.contains(frame.destination.port) ? judgePeers(frame) : judgeClients(frame)
    }

    private func judgePeers(_ frame: Frame) -> ReferenceVerdict {
        let found = routes.first {
            $0.route.relay == frame.destination && $0.route.peer == frame.source && !isOwn($0.route.peer)
        }
        guard let found else { return .passes(.noPeer) }
        if found.isOver { return .passes(.leaseOver) }
        return leave(frame, payload: frame.data, toClientOf: found)
    }

    private func judgeClients(_ frame: Frame) -> ReferenceVerdict {
        guard frame.data.count >= 4, frame.data[0] >> 6 == 1 else { return .passes(.notChannelData) }
        let channel = UInt16(frame.data[0]) << 8 | UInt16(frame.data[1])
        let length = Int(frame.data[2]) << 8 | Int(frame.data[3])
        guard length <= frame.data.count - 4 else { return .passes(.badLength) }
        guard frame.data.count - 4 - length <= 3 else { return .passes(.padding) }
        let found = routes.first {
            $0.route.client == frame.source && $0.route.server == frame.destination
                && $0.route.channel.rawValue == channel
        }
        guard let found else { return .passes(.noChannel) }
        if found.isOver { return .passes(.leaseOver) }
        let payload = Array(frame.data[4..<(4 + length)])
        guard isOwn(found.route.peer) else {
            return leave(
                frame, from: found.route.relay, to: found.route.peer, payload, found.flowLabelToPeer, found.toPeer,
                payload.count)
        }
        let other = routes.first { $0.route.relay == found.route.peer && $0.route.peer == found.route.relay }
        guard let other else { return .passes(.noHairpin) }
        if other.isOver { return .passes(.leaseOver) }
        return leave(frame, payload: payload, toClientOf: other)
    }

    private func isOwn(_ peer: TransportAddress) -> Bool { relayAddresses.contains(peer.ip) }

    private func leave(_ frame: Frame, payload: [UInt8], toClientOf route: ReferenceRoute) -> ReferenceVerdict {
        leave(
            frame, from: route.route.server, to: route.route.client,
            channelData(route.route.channel.rawValue, payload), route.flowLabelToClient, route.toClient, payload.count)
    }

    private func leave(
        _ frame: Frame, from source: TransportAddress, to destination: TransportAddress, _ data: [UInt8],
        _ flowLabel: UInt32, _ hop: ReferenceHop, _ payloadByteCount: Int
    ) -> ReferenceVerdict {
        var out = Frame(from: source, to: destination, data: data)
        let isIPv4 = (before: frame.source.family == .ipv4, after: source.family == .ipv4)
        if !frame.hasChecksum, !(isIPv4.before && isIPv4.after) { return .passes(.noChecksum) }
        if isIPv4.before, !isIPv4.after, !frame.hasGoodHeader { return .passes(.badHeader) }
        if out.ipByteCount > hop.mtu { return .passes(.tooBig) }
        if frame.timeToLive <= 1 { return .drops }
        out.ethernetDestination = hop.destination
        out.ethernetSource = hop.source
        out.trafficClass = frame.trafficClass
        out.timeToLive = frame.timeToLive - 1
        out.hasChecksum = frame.hasChecksum
        out.udpError = frame.udpError
        if isIPv4.before, isIPv4.after {
            out.identification = frame.identification
            out.dontFragment = frame.dontFragment
            out.ipError = frame.ipError
        } else if isIPv4.after {
            // RFC 7915 section 5.1; the identifier is the UDP checksum.
            out.dontFragment = out.ipByteCount > 1260
            if !out.dontFragment {
                let bytes = out.bytes
                out.identification = UInt16(bytes[40]) << 8 | UInt16(bytes[41])
            }
        } else {
            out.flowLabel = flowLabel
        }
        return .leaves(out.bytes, isElsewhere: hop.isElsewhere, payloadByteCount: payloadByteCount)
    }
}
