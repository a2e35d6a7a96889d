import CRelayABI
import ReferenceRelay
import STUN

@testable import DataPlaneXDP
@testable import RelayCore

/// A relay with routes of every kind, in the program and in the reference at once.
struct World {
    static let server4 = at("192.0.2.1:3478")
    static let server6 = at("[2001:db8::1]:3478")
    static let relay4 = ip("192.0.2.1")
    static let relay6 = ip("2001:db8::2")
    static let mtu = 1500

    let kernel: Kernel
    var reference: ReferenceRelay
    /// What routes that are added from now on are held to.
    var meters = RouteMeters.none
    private var ports = Array(UInt16(49152)...UInt16(60000)).makeIterator()
    private var clientPort: UInt16 = 2000

    init(routes: Int = 1024) throws {
        kernel = try Kernel(routes: routes)
        reference = ReferenceRelay(
            routes: [], relayPorts: 49152...65535, relayAddresses: [Self.relay4, Self.relay6])
    }

    mutating func relayed(_ family: AddressFamily) -> TransportAddress {
        TransportAddress(family == .ipv4 ? Self.relay4 : Self.relay6, port: ports.next() ?? 0)
    }

    mutating func client(_ family: AddressFamily) -> TransportAddress {
        clientPort += 1
        return TransportAddress(
            family == .ipv4 ? IPAddress(v4: 0xC633_6400 | UInt32(clientPort & 0xFF)) : ip("2001:db8:1::7"),
            port: clientPort)
    }

    static func server(_ family: AddressFamily) -> TransportAddress { family == .ipv4 ? server4 : server6 }

    static func peer(_ family: AddressFamily, port: UInt16 = 7000) -> TransportAddress {
        TransportAddress(family == .ipv4 ? ip("203.0.113.9") : ip("2001:db8:2::9"), port: port)
    }

    /// A route between these ends, installed in both.
    @discardableResult
    mutating func add(
        client: TransportAddress, relay: TransportAddress, peer: TransportAddress, channel: UInt16 = 0x4001,
        mtu: Int = World.mtu, isOver: Bool = false, isElsewhere: Bool = false
    ) throws -> ReferenceRoute {
        let number = UInt8(truncatingIfNeeded: reference.routes.count)
        let route = Route(
            id: RouteID(index: UInt32(number)), client: client, server: Self.server(client.family),
            channel: BPFTests.channel(channel), relay: relay, peer: peer,
            until: Instant(nanoseconds: .max), meters: meters)
        let elsewhere = isElsewhere && Kernel.otherInterface != 0
        var added = ReferenceRoute(
            route,
            toPeer: ReferenceHop(
                mtu: mtu, destination: [2, 0, 0, 1, 0, number], source: [2, 0, 0, 2, 0, number], isElsewhere: elsewhere),
            toClient: ReferenceHop(mtu: mtu, destination: [2, 0, 0, 3, 0, number], source: [2, 0, 0, 4, 0, number]),
            flowLabelToPeer: Direction.toPeer(route).flowLabel(seed: Kernel.seed),
            flowLabelToClient: Direction.toClient(route).flowLabel(seed: Kernel.seed))
        added.isOver = isOver
        try kernel.install(added, relays: reference.relayAddresses)
        reference.routes.append(added)
        return added
    }

    /// A client of one family with a channel to a peer of another.
    @discardableResult
    mutating func addRoute(
        _ clientFamily: AddressFamily, _ peerFamily: AddressFamily, channel: UInt16 = 0x4001, mtu: Int = World.mtu,
        isOver: Bool = false, isElsewhere: Bool = false
    ) throws -> ReferenceRoute {
        try add(
            client: client(clientFamily), relay: relayed(peerFamily), peer: Self.peer(peerFamily), channel: channel,
            mtu: mtu, isOver: isOver, isElsewhere: isElsewhere)
    }

    /// Two clients whose channels lead to each other's relayed addresses.
    @discardableResult
    mutating func addHairpin(
        _ one: AddressFamily, _ two: AddressFamily, relays: AddressFamily
    ) throws -> [ReferenceRoute] {
        let (first, second) = (relayed(relays), relayed(relays))
        return [
            try add(client: client(one), relay: first, peer: second, channel: 0x4002),
            try add(client: client(two), relay: second, peer: first, channel: 0x4FFF),
        ]
    }

    /// Runs frames through the program and says where it differs from the reference.
    func differences(_ frames: [Frame]) throws -> [String] {
        let bytes = frames.map(\.bytes)
        return zip(frames, zip(bytes, try kernel.run(bytes))).compactMap { frame, run in
            let expected = reference.judge(frame)
            let wanted: Kernel.Outcome =
                switch expected {
                case .leaves(let bytes, let isElsewhere, _):
                    Kernel.Outcome(verdict: isElsewhere ? .redirect : .transmit, bytes: bytes)
                case .passes: Kernel.Outcome(verdict: .pass, bytes: run.0)
                case .drops: Kernel.Outcome(verdict: .drop, bytes: run.0)
                }
            return run.1 == wanted ? nil : "\(frame)\n expected \(expected)\n     got \(run.1)"
        }
    }
}
