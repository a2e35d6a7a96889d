import CLinux
import PlaneTestKit
import RelayCore
import RelayWorker
import STUN
import TestSeed
import Testing

/// Datagrams through real sockets on loopback, every byte compared.
@Suite(.serialized) struct RelayingTests {
    static let crossings: [(AddressFamily, AddressFamily)] = [
        (.ipv4, .ipv4), (.ipv6, .ipv6), (.ipv4, .ipv6), (.ipv6, .ipv4),
    ]

    @Test(arguments: PlaneUnderTest.usable, crossings)
    func bothWaysToTheByte(_ plane: PlaneUnderTest, _ crossing: (AddressFamily, AddressFamily)) throws {
        let (clientSide, peerSide) = crossing
        var generator = SeededGenerator()
        let relay = try TestRelay(plane)
        let listener = try relay.listen(at: clientSide.loopback)
        let client = try TestSocket(clientSide.loopback)
        let peer = try TestSocket(peerSide.loopback)
        let route = try relay.bind(0x4001, from: client.address, at: listener, to: peer.address)
        for size in [0, 1, 3, 4, 160, 1200, 1472, 9000, 60_000] {
            let payload = generator.bytes(size)
            client.send(channelData(0x4001, payload), to: relay.address(of: listener))
            #expect(try relay.relay(1) == 1)
            let there = peer.receive()
            #expect(there?.bytes == payload, "\(size) bytes, \(generator)")
            #expect(there?.source == route.relayAddress)
            peer.send(payload, to: route.relayAddress)
            #expect(try relay.relay(1) == 1)
            let back = client.receive()
            #expect(back?.bytes == channelData(0x4001, payload), "\(size) bytes, \(generator)")
            #expect(back?.source == relay.address(of: listener))
        }
    }

    @Test(arguments: PlaneUnderTest.usable, crossings)
    func codePointsAndCongestionMarksCross(_ plane: PlaneUnderTest, _ crossing: (AddressFamily, AddressFamily)) throws {
        let (clientSide, peerSide) = crossing
        let relay = try TestRelay(plane)
        let listener = try relay.listen(at: clientSide.loopback)
        let client = try TestSocket(clientSide.loopback)
        let peer = try TestSocket(peerSide.loopback)
        let route = try relay.bind(0x4001, from: client.address, at: listener, to: peer.address)
        // EF with ECT(1), AF41 with CE, plain.
        for mark: UInt8 in [0xB9, 0x8B, 0x00] {
            client.mark(mark)
            client.send(channelData(0x4001, [1]), to: relay.address(of: listener))
            try relay.relay(1)
            #expect(peer.receive()?.trafficClass == mark)
            peer.mark(mark)
            peer.send([2], to: route.relayAddress)
            try relay.relay(1)
            #expect(client.receive()?.trafficClass == mark)
        }
    }

    @Test(arguments: PlaneUnderTest.usable, AddressFamily.allCases)
    func aBurstComesInAsOneAndLeavesAsOne(_ plane: PlaneUnderTest, _ family: AddressFamily) throws {
        var generator = SeededGenerator()
        let relay = try TestRelay(plane)
        let listener = try relay.listen(at: family.loopback)
        let client = try TestSocket(family.loopback)
        let peer = try TestSocket(family.loopback)
        let route = try relay.bind(0x4001, from: client.address, at: listener, to: peer.address)
        let payloads = (0..<40).map { generator.bytes($0 == 39 ? 700 : 1200) }
        client.send(
            payloads.flatMap { channelData(0x4001, $0) }, to: relay.address(of: listener), segment: 1204)
        #expect(try relay.relay(40) == 40)
        #expect(peer.receiveAll().map(\.bytes) == payloads, "\(generator)")
        #expect(relay.io.counters.sendCalls == 1)
        #expect(relay.io.counters.sentDatagrams == 40)

        peer.send(payloads.flatMap { $0 }, to: route.relayAddress, segment: 1200)
        #expect(try relay.relay(40) == 40)
        #expect(client.receiveAll().map(\.bytes) == payloads.map { channelData(0x4001, $0) }, "\(generator)")
        #expect(relay.io.counters.sendCalls == 2)
        #expect(relay.io.counters.receivedDatagrams == 80)
    }

    @Test(arguments: PlaneUnderTest.usable)
    func withoutOffloadsNothingIsDifferentOutside(_ plane: PlaneUnderTest) throws {
        var generator = SeededGenerator()
        let relay = try TestRelay(plane, receiveOffload: false, segmentationOffload: false)
        let listener = try relay.listen(at: "127.0.0.1")
        let client = try TestSocket()
        let peer = try TestSocket()
        try relay.bind(0x4001, from: client.address, at: listener, to: peer.address)
        let payloads = (0..<40).map { _ in generator.bytes(1200) }
        client.send(
            payloads.flatMap { channelData(0x4001, $0) }, to: relay.address(of: listener), segment: 1204)
        #expect(try relay.relay(40) == 40)
        #expect(peer.receiveAll().map(\.bytes) == payloads, "\(generator)")
        #expect(relay.io.counters.segmentationRefused == 0)
    }

    @Test(arguments: PlaneUnderTest.usable, [true, false])
    func interleavedFlowsOfMixedSizesKeepTheirOrder(_ plane: PlaneUnderTest, _ offloads: Bool) throws {
        var generator = SeededGenerator()
        let relay = try TestRelay(plane, receiveOffload: offloads, segmentationOffload: offloads)
        let listener = try relay.listen(at: "127.0.0.1")
        let peer = try TestSocket()
        let clients = try (0..<5).map { _ in try TestSocket() }
        for (index, client) in clients.enumerated() {
            try relay.bind(0x4001 + UInt16(index), from: client.address, at: listener, to: peer.address)
        }
        var sent = [[[UInt8]]](repeating: [], count: clients.count)
        for _ in 0..<20 {
            var burst = 0
            for _ in 0..<Int.random(in: 1...60, using: &generator) {
                let flow = Int.random(in: 0..<clients.count, using: &generator)
                let size = [0, 1, 100, 100, 100, 1000, 1000, 1400].randomElement(using: &generator) ?? 0
                let payload = generator.bytes(size)
                sent[flow].append(payload)
                let message = channelData(0x4001 + UInt16(flow), payload)
                clients[flow].send(message, to: relay.address(of: listener))
                burst += 1
            }
            #expect(try relay.relay(burst) == burst, "\(generator)")
        }
        let arrived = peer.receiveAll()
        for (index, route) in relay.routes.enumerated() {
            let flow = arrived.filter { $0.source == route.relayAddress }.map(\.bytes)
            #expect(flow == sent[index], "flow \(index), \(generator)")
        }
    }

    @Test(arguments: PlaneUnderTest.prompt)
    func manyPeersToManyClientsIsOneCall(_ plane: PlaneUnderTest) throws {
        let relay = try TestRelay(plane)
        let listener = try relay.listen(at: "127.0.0.1")
        let peer = try TestSocket()
        let clients = try (0..<10).map { _ in try TestSocket() }
        for client in clients {
            let route = try relay.bind(0x4001, from: client.address, at: listener, to: peer.address)
            peer.send([7, 8, 9], to: route.relayAddress)
        }
        #expect(try relay.turn() == 10)
        #expect(relay.io.counters.sendCalls == 1)
        for client in clients { #expect(client.receive()?.bytes == channelData(0x4001, [7, 8, 9])) }
    }

    @Test(arguments: PlaneUnderTest.usable, [["127.0.0.2", "127.0.0.3", "127.0.0.2"], ["::1"]])
    func aWildcardListenerAnswersFromTheAskedAddress(_ plane: PlaneUnderTest, _ asked: [String]) throws {
        let family: AddressFamily = asked[0].contains(":") ? .ipv6 : .ipv4
        let relay = try TestRelay(plane)
        let listener = try relay.listen(at: family.wildcard)
        let client = try TestSocket(family.loopback)
        let peer = try TestSocket(family.loopback)
        let route = try relay.bind(0x4001, from: client.address, at: listener, to: peer.address)
        for ip in asked {
            let server = TransportAddress(ip, relay.address(of: listener).port)
            client.send(channelData(0x4001, [1]), to: server)
            try relay.relay(1)
            #expect(peer.receive()?.bytes == [1])
            peer.send([2], to: route.relayAddress)
            try relay.relay(1)
            #expect(client.receive()?.source == server)
        }
    }
}
