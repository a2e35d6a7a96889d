import STUN
import Testing

@testable import RelayCore

/// RFC 8656 sections 9 and 10.
@Suite("Permissions")
struct PermissionTests {
    static let address: TransportAddress = "198.51.100.1:5000"
    static let relayed: TransportAddress = "203.0.113.1:50000"
    static let success = "-> 198.51.100.1:5000: permission success signed-sha1"

    private func allocated(_ configuration: Configuration = .onePort, _ fields: Field...) -> Client {
        let client = Client.greeted(Relay(configuration), Self.address)
        _ = client.deliver(client.request(.allocate, [.udp] + fields))
        return client
    }

    @Test("without one nothing passes, in either direction; with one everything from that address does")
    func enforced() {
        let client = allocated()
        let relay = client.relay
        #expect(client.indicate("out", to: "192.0.2.9:1") == [])
        #expect(relay.deliver("in", to: Self.relayed, from: "192.0.2.9:1") == ["dropped"])
        #expect(relay.core.counters[.noPermission] == 2)

        #expect(client.permit("192.0.2.9:7777") == [Self.success])
        for port in [1, 7777, 65_535] as [UInt16] {
            let peer = TransportAddress(ip("192.0.2.9"), port: port)
            #expect(client.indicate("out", to: peer) == ["\(Self.relayed) -> \(peer): out"])
            #expect(
                relay.deliver("in", to: Self.relayed, from: peer)
                    == ["-> \(Self.address): data peer=\(peer) data=in"])
        }
        #expect(client.indicate("out", to: "192.0.2.8:1") == [])
        #expect(relay.deliver("in", to: Self.relayed, from: "192.0.2.8:1") == ["dropped"])
        #expect(relay.core.counters[.noPermission] == 4)
        #expect(relay.core.counters.indicationTraffic == traffic(toPeers: (3, 9), toClient: (3, 6)))
    }

    @Test("it lasts 300 s, and as long again from every renewal")
    func lapse() {
        let client = allocated(.onePort, .lifetime(3600))
        client.permit("192.0.2.9:1")
        _ = client.relay.pass(seconds: 299)
        #expect(client.permit("192.0.2.9:1") == [Self.success])
        #expect(client.relay.core.counters.permissions == 1)
        #expect(client.relay.pass(milliseconds: 299_999) == [])
        #expect(client.indicate("out", to: "192.0.2.9:1").count == 1)
        #expect(client.relay.pass(milliseconds: 257) == [])
        #expect(client.indicate("out", to: "192.0.2.9:1") == [])
        #expect(client.relay.deliver("in", to: Self.relayed, from: "192.0.2.9:1") == ["dropped"])
        #expect(client.relay.core.counters.permissions == 0)
        #expect(client.permit("192.0.2.9:1") == [Self.success])
        #expect(client.indicate("out", to: "192.0.2.9:1").count == 1)
    }

    @Test("a Send indication does not renew it")
    func notRenewedBySending() {
        let client = allocated()
        client.permit("192.0.2.9:1")
        _ = client.relay.pass(seconds: 299)
        #expect(client.indicate("out", to: "192.0.2.9:1").count == 1)
        _ = client.relay.deliver("in", to: Self.relayed, from: "192.0.2.9:1")
        _ = client.relay.pass(seconds: 2)
        #expect(client.indicate("out", to: "192.0.2.9:1") == [])
    }

    @Test("400 without a peer, or with one that is malformed among good ones")
    func malformed() {
        let client = allocated()
        let bad = "-> \(Self.address): permission 400 signed-sha1"
        #expect(client.permit() == [bad])
        for value in [[], [0, 1, 0, 1], [0, 3, 0, 1, 1, 2, 3, 4], [0, 2, 0, 1, 1, 2, 3, 4]] as [[UInt8]] {
            let fields = [Field.peer("192.0.2.9:1"), .raw(0x0012, value)]
            #expect(client.deliver(client.request(.createPermission, fields)) == [bad])
            #expect(client.deliver(client.request(.createPermission, fields.reversed())) == [bad])
        }
        #expect(client.relay.core.counters.permissions == 0)
    }

    @Test("all of the peers get theirs, or none does")
    func allOrNone() {
        let client = allocated()
        #expect(
            client.permit("192.0.2.9:1", "10.0.0.1:1", "192.0.2.8:1") == [
                "note denied \(Self.address) alice 10.0.0.1:1 special-purpose:private 10.0.0.0/8",
                "-> \(Self.address): permission 403 signed-sha1",
            ])
        #expect(
            client.permit("192.0.2.9:1", "[2001:db8::9]:1") == ["-> \(Self.address): permission 443 signed-sha1"])
        #expect(client.relay.core.counters.permissions == 0)
        #expect(client.permit("192.0.2.9:1", "192.0.2.8:1") == [Self.success])
        #expect(client.relay.core.counters.permissions == 2)
    }

    @Test("403 names the rule; what is denied is denied to channels too")
    func denied() {
        let client = allocated(
            .onePort.with { $0.peerPolicy = PeerPolicy(profile: .public, allow: [], deny: cidrs("9.9.9.0/24")) })
        for (peer, rule) in [
            ("127.0.0.1:80", "special-purpose:loopback 127.0.0.0/8"), ("9.9.9.9:53", "deny-peer 9.9.9.0/24"),
            ("203.0.113.9:3478", "special-purpose:documentation 203.0.113.0/24"),
        ] as [(TransportAddress, String)] {
            let note = "note denied \(Self.address) alice \(peer) \(rule)"
            #expect(client.permit(peer) == [note, "-> \(Self.address): permission 403 signed-sha1"])
            #expect(client.bind(0x4000, to: peer) == [note, "-> \(Self.address): channel 403 signed-sha1"])
        }
        #expect(client.permit("9.9.8.9:53") == [Self.success])
    }

    @Test("486 beyond the permissions that an allocation may have; channels count by their peer's address")
    func quota() {
        let client = allocated(.onePort.with { $0.permissionsPerAllocation = 2 })
        let full = "-> \(Self.address): permission 486 signed-sha1"
        let note = "note quota \(Self.address) alice permissions-per-allocation"
        #expect(client.permit("192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1") == [note, full])
        #expect(client.relay.core.counters.permissions == 0)
        #expect(client.permit("192.0.2.1:1", "192.0.2.1:2", "192.0.2.2:3", "192.0.2.1:3") == [Self.success])
        #expect(client.relay.core.counters.permissions == 2)
        #expect(client.permit("192.0.2.1:1", "192.0.2.2:1") == [Self.success])
        #expect(client.permit("192.0.2.1:1", "192.0.2.3:1") == [note, full])
        #expect(client.bind(0x4000, to: "192.0.2.3:1") == [note, "-> \(Self.address): channel 486 signed-sha1"])
        #expect(client.bind(0x4000, to: "192.0.2.1:1").count == 2)
        #expect(client.bind(0x4001, to: "192.0.2.1:2").count == 3)
        _ = client.relay.pass(seconds: 301)
        #expect(client.permit("192.0.2.3:1", "192.0.2.4:1") == [Self.success])
        // The binding lives on, but waking it would take a third permission.
        #expect(client.bind(0x4000, to: "192.0.2.1:1") == [note, "-> \(Self.address): channel 486 signed-sha1"])
    }

    @Test("permissions are an allocation's own")
    func separate() {
        let relay = Relay()
        let (first, second) = (Client.greeted(relay, Self.address), Client.greeted(relay, "198.51.100.1:5001"))
        first.allocate()
        second.allocate()
        first.permit("192.0.2.9:1")
        #expect(first.indicate("out", to: "192.0.2.9:1").count == 1)
        #expect(second.indicate("out", to: "192.0.2.9:1") == [])
    }
}

func traffic(toPeers: (UInt64, UInt64), toClient: (UInt64, UInt64)) -> AllocationTraffic {
    var traffic = AllocationTraffic()
    (traffic.packetsToPeers, traffic.bytesToPeers) = toPeers
    (traffic.packetsToClient, traffic.bytesToClient) = toClient
    return traffic
}
