import Glibc
import PlaneKit
import PlaneTestKit
import RelayCore
import RelayWorker
import STUN
import TestSeed
import Testing

/// Single datagrams of many relay sockets leave by one call; nobody outside can tell.
@Suite(.serialized, .enabled(if: RawSending.isAllowed, "needs CAP_NET_RAW"))
struct RawSendingTests {
    @Test(arguments: PlaneUnderTest.prompt, AddressFamily.allCases)
    func manyRelaySocketsSendByOneCall(_ plane: PlaneUnderTest, _ family: AddressFamily) throws {
        var generator = SeededGenerator()
        let relay = try TestRelay(plane)
        let listener = try relay.listen(at: family.loopback)
        let pairs = try (0..<20).map { _ in
            (client: try TestSocket(family.loopback), peer: try TestSocket(family.loopback))
        }
        for pair in pairs { try relay.bind(0x4001, from: pair.client.address, at: listener, to: pair.peer.address) }
        let payloads = pairs.indices.map { generator.bytes($0 * 73) }
        for (pair, payload) in zip(pairs, payloads) {
            pair.client.mark(0xB9)
            pair.client.send(channelData(0x4001, payload), to: relay.address(of: listener))
        }
        #expect(try relay.turn() == 20)
        #expect(relay.io.counters.sendCalls == 1)
        #expect(relay.io.counters.sentDatagrams == 20)
        for (index, pair) in pairs.enumerated() {
            let received = pair.peer.receive()
            #expect(received?.bytes == payloads[index], "\(generator)")
            #expect(received?.source == relay.routes[index].relayAddress)
            #expect(received?.trafficClass == 0xB9)
        }
    }

    @Test(arguments: PlaneUnderTest.prompt)
    func largeAndRepeatedOnesGoByTheirOwnSockets(_ plane: PlaneUnderTest) throws {
        let relay = try TestRelay(plane)
        let listener = try relay.listen(at: "127.0.0.1")
        let peer = try TestSocket()
        let clients = try (0..<4).map { _ in try TestSocket() }
        for client in clients { try relay.bind(0x4001, from: client.address, at: listener, to: peer.address) }
        // Two singles by one call; a large one and a run of two by a call each.
        let sent: [[[UInt8]]] = [
            [[1]], [[2, 2]], [[UInt8](repeating: 3, count: 9_000)], [[4, 4, 4], [5, 5, 5]],
        ]
        for (client, payloads) in zip(clients, sent) {
            for payload in payloads { client.send(channelData(0x4001, payload), to: relay.address(of: listener)) }
        }
        #expect(try relay.turn() == 5)
        // io_uring sends what is one message a socket by one call.
        #expect(relay.io.counters.sendCalls == (plane == .socket ? 3 : 2))
        let arrived = peer.receiveAll()
        for (route, payloads) in zip(relay.routes, sent) {
            #expect(arrived.filter { $0.source == route.relayAddress }.map(\.bytes) == payloads)
        }
    }

    /// A raw socket gets no reports of what it sent: they come to the relay sockets whose ports were written.
    @Test(arguments: PlaneUnderTest.prompt)
    func whatComesBackByICMPIsReportedOfTheRelaySocket(_ plane: PlaneUnderTest) throws {
        let relay = try TestRelay(plane)
        let listener = try relay.listen(at: "127.0.0.1")
        let clients = try (0..<4).map { _ in try TestSocket() }
        for client in clients {
            let closed = try { try TestSocket().address }()
            try relay.bind(0x4001, from: client.address, at: listener, to: closed)
        }
        for client in clients { client.send(channelData(0x4001, [1, 2]), to: relay.address(of: listener)) }
        #expect(try relay.turn() == 4)
        #expect(relay.io.counters.sendCalls == 1)
        var reports: [SocketSlot: ICMPReport] = [:]
        for _ in 0..<20 where reports.count < 4 {
            try relay.turn()
            while let report = relay.io.nextReport() { reports[report.slot] = report }
        }
        #expect(reports.count == 4)
        for route in relay.routes {
            #expect(reports[route.relay]?.peer == route.peer)
            #expect(reports[route.relay]?.error == ICMPAttribute(type: 3, code: 3, data: 0))
        }
    }

    @Test(.enabled(if: TestNamespace.isAllowed, "needs network namespaces"), arguments: PlaneUnderTest.prompt)
    func whatTheRawSocketRefusesIsTriedAgainAndCountedOnce(_ plane: PlaneUnderTest) throws {
        let namespace = try TestNamespace()
        try namespace.inside {
            let relay = try TestRelay(plane, in: namespace)
            let listener = try relay.listen(at: "127.0.0.1")
            let peer = try TestSocket()
            let clients = try (0..<5).map { _ in try TestSocket() }
            for (index, client) in clients.enumerated() {
                // Nothing leads to 203.0.113.0/24 here.
                let isLost = index % 2 == 1
                let target = isLost ? TransportAddress("203.0.113.9", 9) : peer.address
                try relay.bind(0x4001, from: client.address, at: listener, to: target)
                client.send(channelData(0x4001, [UInt8(index)]), to: relay.address(of: listener))
            }
            #expect(try relay.turn() == 5)
            #expect(relay.io.counters.sentDatagrams == 3)
            #expect(relay.io.counters.sendRefused == 2)
            #expect(Set(peer.receiveAll().map(\.bytes)) == [[0], [2], [4]])
        }
    }
}

enum RawSending {
    static let isAllowed = (try? Offloads().allowedHere().rawSending) ?? false
}
