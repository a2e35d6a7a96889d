import STUN
import Testing

@testable import RelayCore

/// How many peers and channels an allocation may name.
@Suite("New peers and channels of an allocation")
struct NewPeerTests {
    static let address: TransportAddress = "198.51.100.1:5000"
    static let permitted = "-> 198.51.100.1:5000: permission success signed-sha1"
    static let refused = [
        "note quota 198.51.100.1:5000 alice new-peer-rate", "-> 198.51.100.1:5000: permission 508 signed-sha1",
    ]

    private func allocated(_ change: (inout Configuration) -> Void) -> Client {
        let client = Client.greeted(Relay(.script.with(change)), Self.address)
        client.allocate(.lifetime(3600))
        return client
    }

    private func peer(_ number: Int, port: UInt16 = 1) -> TransportAddress {
        TransportAddress(IPAddress(v4: 0xC000_0200 + UInt32(number)), port: port)
    }

    @Test("as many at once as the rate has in its time, then one whenever its share has passed")
    func rate() {
        let client = allocated { $0.newPeerRate = PeerRate(count: 3, seconds: 60) }
        let relay = client.relay
        for number in 1...3 { #expect(client.permit(peer(number)).last == Self.permitted) }
        #expect(client.permit(peer(4)) == Self.refused)
        // Those that it knows are renewed, whatever the port.
        for number in 1...3 { #expect(client.permit(peer(number, port: 9)) == [Self.permitted]) }
        _ = relay.pass(milliseconds: 19_999)
        #expect(client.permit(peer(4)) == Self.refused)
        _ = relay.pass(milliseconds: 1)
        #expect(client.permit(peer(4)) == [Self.permitted])
        #expect(client.permit(peer(5)) == Self.refused)
        #expect(relay.core.counters[.newPeerRate] == 3)
        #expect(relay.core.counters[.createPermission, .insufficientCapacity] == 3)
    }

    @Test("a request with several takes all of them or none; a channel takes one, if its peer is new")
    func several() {
        let client = allocated { $0.newPeerRate = PeerRate(count: 3, seconds: 60) }
        #expect(client.permit(peer(1), peer(2), peer(3), peer(4)) == Self.refused)
        #expect(client.permit(peer(1), peer(2), peer(1, port: 7)) == [Self.permitted])
        #expect(client.permit(peer(3), peer(4)) == Self.refused)
        #expect(client.bind(0x4000, to: peer(2)).last == "-> 198.51.100.1:5000: channel success signed-sha1")
        #expect(client.bind(0x4001, to: peer(3)).last == "-> 198.51.100.1:5000: channel success signed-sha1")
        #expect(
            client.bind(0x4002, to: peer(4)) == [
                "note quota 198.51.100.1:5000 alice new-peer-rate", "-> 198.51.100.1:5000: channel 508 signed-sha1",
            ])
        #expect(client.relay.core.counters.permissions == 3)
    }

    @Test("each allocation has its own; a new limit holds at once, and none is none")
    func reload() {
        let client = allocated { $0.newPeerRate = PeerRate(count: 1, seconds: 3600) }
        let other = Client.greeted(client.relay, "198.51.100.2:5000")
        other.allocate()
        #expect(client.permit(peer(1)) == [Self.permitted])
        #expect(client.permit(peer(2)) == Self.refused)
        #expect(other.permit(peer(2)).count == 1)
        _ = client.relay.reconfigure(client.relay.core.configuration.with { $0.newPeerRate = .none })
        #expect(client.permit(peer(2)) == [Self.permitted])
    }

    @Test("channels are counted until they are forgotten; one that is there is renewed")
    func channels() {
        let client = allocated { $0.channelsPerAllocation = 2 }
        let success = "-> 198.51.100.1:5000: channel success signed-sha1"
        let refused = [
            "note quota 198.51.100.1:5000 alice channels-per-allocation",
            "-> 198.51.100.1:5000: channel 508 signed-sha1",
        ]
        #expect(client.bind(0x4000, to: peer(1)).last == success)
        #expect(client.bind(0x4001, to: peer(1, port: 2)).last == success)
        #expect(client.bind(0x4002, to: peer(1, port: 3)) == refused)
        #expect(client.bind(0x4001, to: peer(1, port: 2)).last == success)
        _ = client.relay.pass(seconds: 601)
        #expect(client.bind(0x4002, to: peer(1, port: 3)) == refused)
        _ = client.relay.pass(seconds: 300)
        #expect(client.bind(0x4002, to: peer(1, port: 3)).last == success)
        #expect(client.relay.core.counters[.channelsPerAllocation] == 2)
    }
}
