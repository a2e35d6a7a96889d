import CLinux
package import RelayCore
package import RelayWorker
package import STUN

/// A relay with a fixed table in the place of the core: a plane's IO and nothing else under test.
package final class TestRelay {
    /// One channel binding.
    package struct Route {
        package let client: TransportAddress
        package let server: SocketSlot
        package let channel: ChannelNumber
        package let relay: SocketSlot
        package let relayAddress: TransportAddress
        package let peer: TransportAddress
    }

    package private(set) var io: any TestIO
    package private(set) var sockets: SocketSet
    package let wakeDescriptor: Int32
    private let system: SystemSockets
    private let namespace: TestNamespace?
    package private(set) var routes: [Route] = []
    private var vantages: [IPAddress: SocketSlot] = [:]

    /// - Parameters:
    ///   - bufferBytes: of every socket; nothing leaves the kernel's default.
    ///   - namespace: where its sockets are opened.
    package init(
        _ plane: PlaneUnderTest, receiveOffload: Bool = true, segmentationOffload: Bool = true,
        bufferBytes: Int? = 4 << 20, in namespace: TestNamespace? = nil
    ) throws {
        self.namespace = namespace
        wakeDescriptor = try WakeDescriptor.open()
        system = SystemSockets(receiveBufferBytes: bufferBytes, sendBufferBytes: bufferBytes)
        sockets = SocketSet(wakeDescriptor: wakeDescriptor)
        io = try plane.makeIO(receiveOffload: receiveOffload, segmentationOffload: segmentationOffload)
    }

    deinit {
        for slot in sockets.slots {
            if case .vantage = sockets[slot].role { continue }
            system.close(sockets[slot].descriptor)
        }
        WakeDescriptor.close(wakeDescriptor)
    }

    /// Goes on with another plane, which takes over every socket, after the present one has relayed what it holds.
    /// - Returns: how many datagrams it held.
    @discardableResult
    package func swap(to plane: PlaneUnderTest) throws -> Int {
        io.stopReceiving()
        var held = 0
        while case let count = try turn(), count > 0 { held += count }
        // The old one goes first, as when a worker changes planes.
        io = NoIO()
        io = try plane.makeIO(receiveOffload: true, segmentationOffload: true)
        for slot in sockets.slots { try io.attach(slot, of: sockets) }
        return held
    }

    package func address(of slot: SocketSlot) -> TransportAddress { sockets[slot].local }

    package func listen(at ip: String) throws -> SocketSlot {
        let wanted = TransportAddress(ip, 0)
        let descriptor = try inNamespace { [system] in try system.openListener(at: wanted) }
        let isWildcard = wanted.ip.high == 0 && wanted.ip.low == 0
        return try attach(
            SocketEntry(
                descriptor: descriptor, role: .listener(isWildcard: isWildcard),
                local: TransportAddress(of: descriptor)))
    }

    package func openRelay(at ip: String, port: UInt16 = 0) throws -> SocketSlot {
        let descriptor = try inNamespace { [system] in try system.openRelay(at: TransportAddress(ip, port)) }
        return try attach(
            SocketEntry(descriptor: descriptor, role: .relay, local: TransportAddress(of: descriptor)))
    }

    private func inNamespace<R>(_ body: @escaping () throws -> R) throws -> R {
        guard let namespace else { return try body() }
        return try namespace.inside(body)
    }

    private func attach(_ entry: SocketEntry) throws -> SocketSlot {
        let slot = sockets.insert(entry)
        try io.attach(slot, of: sockets)
        return slot
    }

    package func close(_ slot: SocketSlot) {
        io.detach(slot)
        system.close(sockets.remove(slot).descriptor)
        sockets.recycle()
    }

    /// Binds a channel from a client to a peer over a relay socket of its own.
    @discardableResult
    package func bind(
        _ channel: UInt16, from client: TransportAddress, at server: SocketSlot, to peer: TransportAddress,
        over relaySlot: SocketSlot? = nil
    ) throws -> Route {
        let relay = try relaySlot ?? openRelay(at: peer.family.loopback)
        guard let number = ChannelNumber(channel, in: .rfc8656) else { preconditionFailure("no channel number") }
        let route = Route(
            client: client, server: server, channel: number, relay: relay, relayAddress: address(of: relay),
            peer: peer)
        routes.append(route)
        return route
    }

    /// Relays until `count` datagrams were taken in, or a hundred turns brought nothing.
    /// - Returns: how many it took in.
    @discardableResult
    package func relay(_ count: Int) throws -> Int {
        var taken = 0
        var emptyTurns = 0
        while taken < count, emptyTurns < 100 {
            let batch = try turn()
            taken += batch
            emptyTurns = batch == 0 ? emptyTurns + 1 : 0
        }
        return taken
    }

    /// One turn, which waits at most 20 ms.
    @discardableResult
    package func turn() throws -> Int {
        let count = try io.receive(until: io.now().monotonic.advanced(byMilliseconds: 20))
        for index in 0..<count { try relayOne(index) }
        try io.flush()
        return count
    }

    private func relayOne(_ index: Int) throws {
        let arrival = io.arrival(index)
        let bytes = io.payload(index)
        let byteCount = bytes.count
        if let route = routes.first(where: { $0.relay == arrival.slot && $0.peer == arrival.source }) {
            let server = try vantage(of: route.server)
            let hop = Hop(
                egress: server, destination: route.client, framing: .wrap(route.channel),
                payloadByteCount: UInt16(byteCount), route: RouteID(index: 0))
            return io.forward(index, hop)
        }
        guard byteCount >= 4 else { return io.release(index) }
        let channel = UInt16(bytes[0]) << 8 | UInt16(bytes[1])
        let length = UInt16(bytes[2]) << 8 | UInt16(bytes[3])
        if let destination = arrival.destination { try learn(destination, of: arrival.slot) }
        guard
            let route = routes.first(where: {
                $0.server == arrival.slot && $0.client == arrival.source && $0.channel.rawValue == channel
            }), Int(length) + 4 <= byteCount
        else { return io.release(index) }
        io.forward(
            index,
            Hop(
                egress: route.relay, destination: route.peer, framing: .unwrap, payloadByteCount: length,
                route: RouteID(index: 0)))
    }

    private var asked: [SocketSlot: IPAddress] = [:]

    private func learn(_ destination: IPAddress, of listener: SocketSlot) throws {
        asked[listener] = destination
        guard vantages[destination] == nil else { return }
        let parent = sockets[listener]
        vantages[destination] = try attach(
            SocketEntry(
                descriptor: parent.descriptor, role: .vantage(of: listener),
                local: TransportAddress(destination, port: parent.local.port)))
    }

    /// The slot to answer from: for a wildcard listener, the address that was asked last.
    private func vantage(of listener: SocketSlot) throws -> SocketSlot {
        guard let destination = asked[listener], let slot = vantages[destination] else { return listener }
        return slot
    }
}

/// A ChannelData message without padding.
package func channelData(_ channel: UInt16, _ payload: [UInt8]) -> [UInt8] {
    [UInt8(channel >> 8), UInt8(channel & 0xFF), UInt8(payload.count >> 8), UInt8(payload.count & 0xFF)] + payload
}
