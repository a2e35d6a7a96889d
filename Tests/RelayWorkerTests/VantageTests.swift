import RelayCore
import STUN
import Testing

@testable import RelayWorker

/// Listeners on 0.0.0.0: one socket, as many server addresses as the host has.
@Suite struct VantageTests {
    private static let wildcard = TransportAddress(IPAddress(v4: 0), port: 3478)

    private static func server(_ number: Int) -> TransportAddress {
        TransportAddress(IPAddress(v4: 0x7F00_0001 + UInt32(number)), port: 3478)
    }

    /// One host and port that talks to several servers.
    private final class Shared: Endpoint {
        let clients: [SimulatedClient]

        init(_ clients: [SimulatedClient]) { self.clients = clients }

        func receive(_ packet: Packet) {
            for client in clients where client.server == packet.from { client.receive(packet) }
        }
    }

    @Test func twoLocalAddressesAreTwoFiveTuples() throws {
        let rig = try Rig()
        let clients = [rig.client(1, of: Self.server(0)), rig.client(1, of: Self.server(1))]
        rig.world.add(Shared(clients), at: .client(1))
        clients[0].demand(.allocate()) {
            clients[1].demand(.allocate()) { rig.link.stop() }
        }
        try rig.run(listeners: [Self.wildcard])
        // That each was answered from the address that it asked is checked with every answer.
        #expect(clients[0].relayed != nil && clients[1].relayed != nil && clients[0].relayed != clients[1].relayed)
        #expect(rig.relay.notes.ended.map(\.summary.server) == [Self.server(0), Self.server(1)])
        rig.expectNoProblems()
    }

    @Test func anAddressThatNobodyCanBeAnsweredFromIsCounted() throws {
        let rig = try Rig()
        let client = rig.client(1, of: Self.server(0))
        let groups = [0xE000_0001, 0xEFFF_FFFF, 0xFFFF_FFFF].map { TransportAddress(IPAddress(v4: $0), port: 3478) }
        for group in groups {
            let bytes = client.encode(.binding, client.newTransactionID())
            rig.world.transmit(Packet(from: client.address, to: group, bytes: bytes))
        }
        rig.world.after(milliseconds: 10) { client.demand(.binding) { rig.link.stop() } }
        try rig.run(listeners: [Self.wildcard])
        #expect(rig.link.snapshot.core[.unanswerable] == 3)
        #expect(client.answers.count == 1)
        rig.expectNoProblems()
    }

    @Test func onlySoManyLocalAddressesAreKept() throws {
        let rig = try Rig()
        let clients = (0..<300).map { rig.client(1 + $0, of: Self.server($0)) }
        for (index, client) in clients.enumerated() {
            rig.world.after(milliseconds: index) {
                client.transmit(client.encode(.binding, client.newTransactionID()))
            }
        }
        // The ones that were known stay known.
        rig.world.after(milliseconds: 400) { clients[0].demand(.binding) { rig.link.stop() } }
        try rig.run(listeners: [Self.wildcard])
        #expect(clients.map(\.answers.count) == [2] + Array(repeating: 1, count: 255) + Array(repeating: 0, count: 44))
        #expect(rig.link.snapshot.core[.unanswerable] == 44)
        rig.expectNoProblems()
    }

    @Test func anAddressThatThePlaneCannotWatchIsTriedAgain() throws {
        let rig = try Rig()
        rig.world.refusesAttach = { if case .vantage = $0.role { true } else { false } }
        rig.world.after(milliseconds: 50) { rig.world.refusesAttach = { _ in false } }
        let client = rig.client(1, of: Self.server(0))
        client.demand(.binding) { rig.link.stop() }
        try rig.run(listeners: [Self.wildcard])
        #expect(rig.link.snapshot.core[.unanswerable] == 1)
        #expect(client.answers.count == 1, "the retransmission is answered")
        rig.expectNoProblems()
    }
}
