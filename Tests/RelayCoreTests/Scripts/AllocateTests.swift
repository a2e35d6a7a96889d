import STUN
import Testing

@testable import RelayCore

/// RFC 8656 section 7.
@Suite("Allocate")
struct AllocateTests {
    static let address: TransportAddress = "198.51.100.1:5000"
    static let success =
        "-> 198.51.100.1:5000: allocate success relayed=203.0.113.1:50000 lifetime=600 mapped=198.51.100.1:5000 signed-sha1"

    private func client(_ configuration: Configuration, _ address: TransportAddress = address) -> Client {
        .greeted(Relay(configuration), address)
    }

    @Test("a socket is asked for, then the answer given, then the note written")
    func success() {
        let client = client(.onePort)
        #expect(
            client.allocate() == [
                "open first 203.0.113.1:50000", Self.success,
                "note created 198.51.100.1:5000 203.0.113.1:3478 alice 203.0.113.1:50000 600s",
            ])
        #expect(client.relay.core.counters.allocations == 1)
        #expect(client.relay.core.counters[.allocate, .success] == 1)
    }

    @Test("REQUESTED-TRANSPORT: 400 without, 442 for anything but UDP")
    func transport() {
        let client = client(.onePort)
        #expect(client.deliver(client.request(.allocate, [])) == ["-> \(Self.address): allocate 400 signed-sha1"])
        for other in UInt8.min...UInt8.max where other != 17 {
            #expect(
                client.deliver(client.request(.allocate, [.transport(other)]))
                    == ["-> \(Self.address): allocate 442 signed-sha1"])
        }
        #expect(client.relay.isEmpty)
    }

    @Test("a retransmission gets the same bytes, another transaction gets 437")
    func retransmission() {
        let client = client(.onePort)
        let request = client.request(.allocate, [.udp])
        _ = client.deliver(request)
        let answer = client.relay.sent
        _ = client.refresh(.lifetime(3600))
        #expect(client.deliver(request) == [Self.success])
        #expect(client.relay.sent == answer)
        #expect(client.allocate() == ["-> \(Self.address): allocate 437 signed-sha1"])
        #expect(client.relay.core.counters.allocations == 1)
    }

    @Test("the answer waits for the socket; meanwhile the five-tuple is taken and nothing else is answered")
    func opening() {
        let client = client(.onePort)
        let relay = client.relay
        relay.holdsBinds = true
        let request = client.request(.allocate, [.udp])
        #expect(client.deliver(request) == ["open first 203.0.113.1:50000"])
        #expect(client.deliver(request) == [])
        #expect(client.refresh() == [])
        #expect(client.permit("192.0.2.9:9000") == [])
        #expect(client.bind(0x4000, to: "192.0.2.9:9000") == [])
        #expect(relay.core.counters[.inProgress] == 4)
        #expect(client.indicate("hello", to: "192.0.2.9:9000") == [])
        #expect(client.say("hello", on: 0x4000) == ["dropped"])
        #expect(client.allocate() == ["-> \(Self.address): allocate 437 signed-sha1"])
        _ = relay.pass(seconds: 700)
        #expect(relay.retire() == [])
        #expect(relay.core.counters.allocations == 0)
        #expect(relay.answerHeld().prefix(1) == [Self.success])
        // Its life begins with the answer, not with the request.
        _ = relay.pass(milliseconds: 599_999)
        #expect(relay.core.counters.allocations == 1)
        #expect(relay.pass(milliseconds: 257).last?.hasPrefix("note expired") == true)
    }

    @Test("a bind that comes too late is undone", arguments: [RelayRequest.Purpose.first, .additional, .reserved])
    func late(_ purpose: RelayRequest.Purpose) {
        let client = client(.onePort)
        client.allocate()
        guard case .opened(let request, let slot) = client.relay.binds[0] else { preconditionFailure("not opened") }
        let late = RelayRequest(allocation: request.allocation, purpose: purpose, address: request.address)
        if purpose == .reserved {
            client.relay.host.reserved.insert(late.address)
            #expect(client.relay.resume(.opened(late, slot)) == ["close reserved 203.0.113.1:50000"])
        } else {
            #expect(client.relay.resume(.opened(late, slot)) == ["close 203.0.113.1:50000"])
        }
        #expect(client.relay.resume(.refused(late, .addressInUse)) == [])
    }

    @Test(
        "LIFETIME is granted between 600 and 3600 s",
        arguments: [
            (nil, 600), (0, 600), (1, 600), (599, 600), (600, 600), (601, 601), (3599, 3599), (3600, 3600),
            (3601, 3600), (.max, 3600),
        ] as [(UInt32?, UInt32)])
    func lifetime(_ wanted: UInt32?, _ granted: UInt32) {
        let client = client(.onePort)
        let seen = client.deliver(client.request(.allocate, [.udp] + (wanted.map { [.lifetime($0)] } ?? [])))
        #expect(seen[1] == Self.success.replacing("=600", with: "=\(granted)"))
        #expect(client.relay.pass(milliseconds: UInt64(granted) * 1000 - 1) == [])
        #expect(
            client.relay.pass(milliseconds: 257) == [
                "close 203.0.113.1:50000",
                "note expired 198.51.100.1:5000 203.0.113.1:3478 alice 203.0.113.1:50000 \(granted)s 0/0 0/0",
            ])
        #expect(client.relay.isEmpty)
        #expect(client.relay.host.bound.isEmpty)
    }

    @Test("every REQUESTED-ADDRESS-FAMILY, on a relay of each kind")
    func families() {
        let v4 = Configuration.onePort.with { $0.relayAddresses.removeLast() }
        let v6 = Configuration.onePort.with { $0.relayAddresses.removeFirst() }
        for (configuration, supported) in [
            (v4, [1]), (v6, [2]), (Configuration.onePort, [1, 2]), (.onePort.with { $0.relayAddresses = [] }, []),
        ] {
            for byte in UInt8.min...UInt8.max {
                let client = client(configuration)
                let seen = client.allocate(.family(byte))
                if supported.contains(Int(byte)) {
                    let relayed = byte == 1 ? "203.0.113.1:50000" : "[2001:db8:1::1]:50000"
                    #expect(seen[1].contains("relayed=\(relayed) lifetime=600 mapped"))
                } else {
                    #expect(seen == ["-> \(Self.address): allocate 440 signed-sha1"])
                }
            }
            let isServed = supported.contains(1)
            #expect(client(configuration).allocate().last?.contains("440") == !isServed)
        }
    }

    @Test("a client of one family may have a relayed address of the other")
    func otherFamily() {
        let client = client(.onePort, "[2001:db8::5]:5000")
        #expect(
            client.allocate() == [
                "open first 203.0.113.1:50000",
                "-> [2001:db8::5]:5000: allocate success relayed=203.0.113.1:50000 lifetime=600 "
                    + "mapped=[2001:db8::5]:5000 signed-sha1",
                "note created [2001:db8::5]:5000 [2001:db8:1::1]:3478 alice 203.0.113.1:50000 600s",
            ])
    }

    @Test("one client address may have an allocation at each listener")
    func fiveTuples() {
        let relay = Relay()
        let first = Client.greeted(relay, Self.address)
        let second = Client(relay, Self.address, on: .ipv6)
        second.greet()
        #expect(first.allocate().count == 3)
        #expect(second.allocate().count == 3)
        #expect(relay.core.counters.allocations == 2)
    }

    @Test("300 names the alternate of the client's family, 508 where it has none; allocations that live go on")
    func redirect() {
        let client = client(
            .onePort.with { $0.admission = .redirect(ipv4: "198.51.100.200:3478", ipv6: nil) })
        #expect(
            client.allocate() == ["-> \(Self.address): allocate 300 alternate=198.51.100.200:3478 signed-sha1"])
        let other = Client.greeted(client.relay, "[2001:db8::5]:5000")
        #expect(other.allocate() == ["-> [2001:db8::5]:5000: allocate 508 signed-sha1"])
        #expect(client.refresh() == ["-> \(Self.address): refresh 437 signed-sha1"])
        #expect(client.relay.isEmpty)
    }

    @Test("DONT-FRAGMENT is understood")
    func dontFragment() {
        #expect(client(.onePort).allocate(.dontFragment)[1] == Self.success)
    }

    @Test("420 lists what is not understood, each once, the first eight")
    func unknown() {
        let client = client(.onePort)
        #expect(
            client.allocate(.raw(0x7001, [1]), .raw(0x7001, [2]), .raw(0x7002, []), .raw(0xC000, []))
                == ["-> \(Self.address): allocate 420 unknown=0x7001,0x7002 signed-sha1"])
        let many = client.request(.allocate, [.udp] + (0..<20).map { .raw(0x7000 + $0, []) })
        #expect(
            client.deliver(many) == [
                "-> \(Self.address): allocate 420 unknown=0x7000,0x7001,0x7002,0x7003,0x7004,0x7005,0x7006,0x7007 "
                    + "signed-sha1"
            ])
        #expect(client.relay.isEmpty)
    }

    @Test(
        "an attribute of the wrong size is 400",
        arguments: [
            (0x0019, 4), (0x000D, 4), (0x0017, 4), (0x8000, 4), (0x0018, 1), (0x0022, 8), (0x000C, 4), (0x0012, 8),
            (0x001D, 4), (0x001E, 32),
        ] as [(UInt16, Int)])
    func malformed(_ type: UInt16, _ rightSize: Int) {
        let client = client(.onePort)
        for size in 0...40 where size != rightSize && !(type == 0x0012 && size == 20) {
            let seen = client.allocate(.raw(type, [UInt8](repeating: 1, count: size)))
            #expect(seen.count == 1 && seen[0].hasPrefix("-> \(Self.address): allocate 400"), "\(size): \(seen)")
        }
        #expect(client.relay.isEmpty)
    }
}

/// Running out: 486 and 508.
@Suite("Limits of Allocate")
struct AllocateLimitTests {
    static let address: TransportAddress = "198.51.100.1:5000"
    static let other: TransportAddress = "198.51.100.2:5000"

    @Test("508 when no port is free, until one is")
    func exhaustion() {
        let relay = Relay(.onePort)
        let (alice, bob) = (Client.greeted(relay, Self.address), Client.greeted(relay, Self.other, user: "bob"))
        alice.allocate()
        #expect(bob.allocate() == ["note exhausted ipv4", "-> \(Self.other): allocate 508 signed-sha1"])
        #expect(relay.core.counters.allocations == 1)
        alice.refresh(.lifetime(0))
        #expect(bob.allocate()[0] == "open first 203.0.113.1:50000")
    }

    @Test("a port that somebody else holds is passed over; after sixteen of them it is 508")
    func busyPorts() {
        for busy in [1, 15, 16] {
            let relay = Relay(.script.with { $0.relayPorts = 50_000...50_099 })
            let client = Client.greeted(relay, Self.address)
            relay.refusals = Array(repeating: .addressInUse, count: busy)
            let seen = client.allocate()
            let opened = Set(seen.filter { $0.hasPrefix("open first") })
            if busy == 16 {
                #expect(opened.count == 16)
                #expect(seen.last == "-> \(Self.address): allocate 508 signed-sha1")
                #expect(seen.count == 2 * 16 + 1)
                #expect(relay.isEmpty)
            } else {
                #expect(opened.count == busy + 1)
                #expect(seen.count == 2 * busy + 3)
            }
        }
    }

    @Test("a port that somebody else held is tried again after 30 s")
    func busyPortReturns() {
        let relay = Relay(.onePort)
        let client = Client.greeted(relay, Self.address)
        relay.refusals = [.addressInUse]
        #expect(
            client.allocate() == [
                "open first 203.0.113.1:50000", "refused", "note exhausted ipv4",
                "-> \(Self.address): allocate 508 signed-sha1",
            ])
        _ = relay.pass(milliseconds: 29_999)
        #expect(client.allocate() == ["note exhausted ipv4", "-> \(Self.address): allocate 508 signed-sha1"])
        _ = relay.pass(milliseconds: 1)
        #expect(client.allocate().count == 3)
    }

    @Test("a bind that fails otherwise is 508 for that client at once, and the port is free")
    func failure() {
        let relay = Relay(.onePort)
        let client = Client.greeted(relay, Self.address)
        relay.refusals = [.failed("no descriptor left")]
        #expect(
            client.allocate() == [
                "open first 203.0.113.1:50000", "refused", "note refused 203.0.113.1:50000 no descriptor left",
                "-> \(Self.address): allocate 508 signed-sha1",
            ])
        #expect(relay.isEmpty)
        #expect(client.allocate().count == 3)
    }

    @Test("486 when a user has as many allocations as they may, whichever worker has them")
    func quota() {
        let configuration = Configuration.script.with { $0.allocationsPerUser = 2 }
        let host = Relay.Host(configuration)
        let relays = [0, 1].map { Relay(configuration, host: host, worker: $0, of: 2, seed: UInt64($0)) }
        let clients = [
            Client.greeted(relays[0], "198.51.100.1:1"), .greeted(relays[1], "198.51.100.1:2"),
            .greeted(relays[0], "198.51.100.1:3"), .greeted(relays[1], "198.51.100.1:4"),
        ]
        #expect(clients[0].allocate().count == 3)
        #expect(clients[1].allocate().count == 3)
        for client in clients[2...] {
            #expect(
                client.allocate() == [
                    "note quota \(client.address) alice allocations-per-user",
                    "-> \(client.address): allocate 486 signed-sha1",
                ])
        }
        #expect(Client.greeted(relays[0], "198.51.100.2:1", user: "bob").allocate().count == 3)
        clients[1].refresh(.lifetime(0))
        #expect(clients[2].allocate().count == 3)
        #expect(clients[3].allocate().count == 2)
    }

    @Test("an Allocate that fails does not count against the quota")
    func quotaAfterFailure() {
        let relay = Relay(.onePort.with { $0.allocationsPerUser = 1 })
        let client = Client.greeted(relay, Self.address)
        relay.refusals = [.failed("x")]
        #expect(client.allocate().last == "-> \(Self.address): allocate 508 signed-sha1")
        #expect(client.allocate(.token(1)) == ["-> \(Self.address): allocate 508 signed-sha1"])
        #expect(client.allocate().count == 3)
    }

    @Test("508 when the worker has as many as it may, those in the making included")
    func workerLimit() {
        let relay = Relay(.script.with { $0.allocationsPerWorker = 1 })
        let clients = [Client.greeted(relay, Self.address), .greeted(relay, Self.other)]
        relay.holdsBinds = true
        #expect(clients[0].allocate().count == 1)
        #expect(clients[1].allocate() == ["-> \(Self.other): allocate 508 signed-sha1"])
        #expect(relay.answerHeld().count == 2)
        #expect(clients[1].allocate() == ["-> \(Self.other): allocate 508 signed-sha1"])
        clients[0].refresh(.lifetime(0))
        #expect(clients[1].allocate().count == 3)
    }

    @Test("limits of 0 are no limits")
    func noLimits() {
        let relay = Relay(
            .script.with {
                $0.allocationsPerUser = 0
                $0.allocationsPerWorker = 0
                $0.permissionsPerAllocation = 0
                $0.unauthenticatedRate = 0
                $0.relayPorts = 50_000...50_999
            })
        for port in UInt16(1)...300 {
            #expect(Client.greeted(relay, TransportAddress(ip("198.51.100.1"), port: port)).allocate().count == 3)
        }
        let client = Client.greeted(relay, "198.51.100.1:1")
        for host in UInt32(1)...200 {
            let peer = TransportAddress(IPAddress(v4: 0xC000_0200 + host), port: 1)
            #expect(client.permit(peer) == ["-> 198.51.100.1:1: permission success signed-sha1"])
        }
    }
}
