import STUN
import Testing

@testable import RelayCore

/// RFC 8656 section 8.
@Suite("Refresh")
struct RefreshTests {
    static let address: TransportAddress = "198.51.100.1:5000"
    static let released = "-> 198.51.100.1:5000: refresh success lifetime=0 signed-sha1"

    private func allocated() -> Client {
        let client = Client.greeted(Relay(.onePort), Self.address)
        client.allocate()
        return client
    }

    @Test("437 without an allocation")
    func none() {
        let client = Client.greeted(Relay(.onePort), Self.address)
        for lifetime in [0, 600] as [UInt32] {
            #expect(client.refresh(.lifetime(lifetime)) == ["-> \(Self.address): refresh 437 signed-sha1"])
        }
        #expect(client.permit("192.0.2.9:1") == ["-> \(Self.address): permission 437 signed-sha1"])
        #expect(client.bind(0x4000, to: "192.0.2.9:1") == ["-> \(Self.address): channel 437 signed-sha1"])
    }

    @Test(
        "LIFETIME is granted as by Allocate",
        arguments: [
            (nil, 600), (1, 600), (600, 600), (601, 601), (3600, 3600), (.max, 3600),
        ] as [(UInt32?, UInt32)])
    func lifetime(_ wanted: UInt32?, _ granted: UInt32) {
        let client = allocated()
        _ = client.relay.pass(seconds: 599)
        let request = client.request(.refresh, wanted.map { [.lifetime($0)] } ?? [])
        #expect(client.deliver(request) == ["-> \(Self.address): refresh success lifetime=\(granted) signed-sha1"])
        #expect(client.relay.pass(milliseconds: UInt64(granted) * 1000 - 1) == [])
        #expect(client.relay.pass(milliseconds: 257).count == 2)
        #expect(client.relay.isEmpty)
    }

    @Test("a shorter lifetime counts too, however long the one before was")
    func shorter() {
        let client = Client.greeted(Relay(.onePort), Self.address)
        client.allocate(.lifetime(3600))
        _ = client.relay.pass(seconds: 10)
        client.refresh()
        client.refresh(.lifetime(3600))
        client.refresh()
        #expect(client.relay.pass(milliseconds: 599_999) == [])
        #expect(client.relay.pass(milliseconds: 257).count == 2)
        #expect(client.relay.core.counters.allocations == 0)
        // The timer of the longer one finds nothing, or somebody else's allocation, and leaves it alone.
        client.allocate()
        _ = client.relay.pass(seconds: 500)
        for _ in 0..<5 {
            client.refresh()
            #expect(client.relay.pass(milliseconds: 599_000) == [])
        }
        #expect(client.relay.core.counters.allocations == 1)
    }

    @Test("a route's lease ends with its allocation, and goes on when that does")
    func leases() {
        let client = allocated()
        let success = "-> \(Self.address): refresh success lifetime=600 signed-sha1"
        _ = client.relay.pass(seconds: 400)
        let bound = client.bind(0x4000, to: "192.0.2.9:9000")
        #expect(bound.first?.hasPrefix("install #0 ") == true && bound.first?.hasSuffix(" 200s") == true, "\(bound)")
        #expect(client.permit("192.0.2.9:1").first == "renew #0 200s")
        #expect(client.refresh() == ["renew #0 300s", success])
        // The permission is what ends first now.
        #expect(client.refresh() == [success])
        _ = client.relay.pass(seconds: 200)
        #expect(client.refresh() == [success])
        #expect(client.relay.core.activeRoutes.map(\.until) == client.relay.routes.values.map(\.until))
    }

    @Test("a release closes routes before the socket, and frees quota, port and five-tuple")
    func release() {
        let client = allocated()
        client.bind(0x4000, to: "192.0.2.9:1")
        client.bind(0x4001, to: "192.0.2.9:2")
        client.say("hello", on: 0x4000)
        client.indicate("you", to: "192.0.2.9:3")
        _ = client.relay.deliver("me", to: "203.0.113.1:50000", from: "192.0.2.9:2")
        _ = client.relay.deliver("too", to: "203.0.113.1:50000", from: "192.0.2.9:4")
        _ = client.relay.pass(seconds: 7)
        #expect(
            client.refresh(.lifetime(0)) == [
                Self.released, "remove #0", "remove #1", "close 203.0.113.1:50000",
                "note released \(Self.address) 203.0.113.1:3478 alice 203.0.113.1:50000 7s 2/8 2/5",
            ])
        #expect(client.say("hello", on: 0x4000) == ["dropped"])
        #expect(client.relay.host.bound.isEmpty)
        #expect(client.allocate().count == 3)
        // What the old allocation had does not haunt the new one, its timers included.
        #expect(client.say("hello", on: 0x4000) == ["dropped"])
        client.bind(0x4001, to: "192.0.2.8:1")
        #expect(client.relay.pass(milliseconds: 299_000) == [])
        #expect(client.say("hello", on: 0x4001) == ["forward 203.0.113.1:50000 -> 192.0.2.8:1: hello"])
    }

    @Test("a retransmitted release gets its answer again, even when a new allocation stands in its place")
    func retransmission() {
        let client = allocated()
        let request = client.request(.refresh, [.lifetime(0)])
        _ = client.deliver(request)
        let bytes = client.relay.sent
        #expect(client.deliver(request) == [Self.released])
        #expect(client.relay.sent == bytes)
        #expect(client.allocate().count == 3)
        #expect(client.deliver(request) == [Self.released])
        #expect(client.relay.sent == bytes)
        #expect(client.relay.core.counters.allocations == 1)
        #expect(client.refresh() == ["-> \(Self.address): refresh success lifetime=600 signed-sha1"])
        #expect(client.refresh(.lifetime(0)).count == 3)
        #expect(client.refresh(.lifetime(0)) == ["-> \(Self.address): refresh 437 signed-sha1"])
    }

    @Test("a release is remembered for 40 s, longer than its client retransmits")
    func forgotten() {
        let client = allocated()
        let request = client.request(.refresh, [.lifetime(0)])
        _ = client.deliver(request)
        _ = client.relay.pass(milliseconds: 39_999)
        #expect(client.deliver(request) == [Self.released])
        _ = client.relay.pass(milliseconds: 1)
        #expect(client.deliver(request) == ["-> \(Self.address): refresh 437 signed-sha1"])
    }

    @Test("somebody else's release with the same transaction is not this one's")
    func othersRelease() {
        let client = allocated()
        let transaction = client.nextTransaction()
        _ = client.deliver(client.request(.refresh, [.lifetime(0)], transaction: transaction))
        let other = Client.greeted(client.relay, "198.51.100.2:5000")
        #expect(
            other.deliver(other.request(.refresh, [.lifetime(0)], transaction: transaction))
                == ["-> \(other.address): refresh 437 signed-sha1"])
    }

    @Test("another user's request with the same transaction is no retransmission")
    func otherUser() {
        let alice = allocated()
        let transaction = alice.nextTransaction()
        alice.refresh(.lifetime(0))
        _ = alice.deliver(alice.request(.allocate, [.udp], transaction: transaction))
        let bob = Client.greeted(alice.relay, Self.address, user: "bob")
        #expect(
            bob.deliver(bob.request(.allocate, [.udp], transaction: transaction))
                == ["-> \(Self.address): allocate 437 signed-sha1"])
        let release = alice.nextTransaction()
        _ = alice.deliver(alice.request(.refresh, [.lifetime(0)], transaction: release))
        #expect(
            bob.deliver(bob.request(.refresh, [.lifetime(0)], transaction: release))
                == ["-> \(Self.address): refresh 437 signed-sha1"])
    }

    @Test("the memory of releases is bounded: the oldest goes first")
    func bounded() {
        let relay = Relay(.onePort.with { $0.unauthenticatedRate = 0 })
        let clients = (1...257).map { Client.greeted(relay, TransportAddress(ip("198.51.100.1"), port: $0)) }
        let requests = clients.map { client in
            client.allocate()
            let request = client.request(.refresh, [.lifetime(0)])
            _ = client.deliver(request)
            return request
        }
        #expect(clients[0].deliver(requests[0])[0].contains("437"))
        for (client, request) in zip(clients, requests).dropFirst() {
            #expect(client.deliver(request)[0].contains("refresh success lifetime=0"))
        }
    }

    @Test("the end of the relay is the end of every allocation, on the record")
    func retire() {
        let client = allocated()
        client.bind(0x4000, to: "192.0.2.9:1")
        #expect(
            client.relay.retire() == [
                "remove #0", "close 203.0.113.1:50000",
                "note stopped \(Self.address) 203.0.113.1:3478 alice 203.0.113.1:50000 0s 0/0 0/0",
            ])
        #expect(client.relay.core.counters.allocations == 0)
    }
}
