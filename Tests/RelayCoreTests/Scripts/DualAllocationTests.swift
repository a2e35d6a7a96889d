import STUN
import Testing

@testable import RelayCore

/// ADDITIONAL-ADDRESS-FAMILY, RFC 8656 sections 7.2 and 8.2.
@Suite("Dual allocations")
struct DualAllocationTests {
    static let address: TransportAddress = "198.51.100.1:5000"
    static let v4 = "203.0.113.1:50000"
    static let v6 = "[2001:db8:1::1]:50000"

    private func success(_ attributes: String, _ error: String = "") -> String {
        "-> \(Self.address): allocate success \(attributes) lifetime=600 mapped=\(Self.address)\(error) signed-sha1"
    }

    private func dual() -> Client {
        let client = Client.greeted(Relay(.onePort), Self.address)
        #expect(
            client.allocate(.additional(2)) == [
                "open first \(Self.v4)", "open additional \(Self.v6)",
                success("relayed=\(Self.v4) relayed=\(Self.v6)"),
                "note created \(Self.address) 203.0.113.1:3478 alice \(Self.v4),\(Self.v6) 600s",
            ])
        return client
    }

    @Test("one address of each family, one lifetime, one end")
    func both() {
        let client = dual()
        #expect(client.relay.pass(milliseconds: 599_999) == [])
        #expect(
            client.relay.pass(milliseconds: 257) == [
                "close \(Self.v4)", "close \(Self.v6)",
                "note expired \(Self.address) 203.0.113.1:3478 alice \(Self.v4),\(Self.v6) 600s 0/0 0/0",
            ])
        #expect(client.relay.isEmpty)
    }

    @Test("a family that the relay has not is ADDRESS-ERROR-CODE 440 beside the other one")
    func unsupported() {
        let v4Only = Client.greeted(Relay(.onePort.with { $0.relayAddresses.removeLast() }), Self.address)
        #expect(v4Only.allocate(.additional(2))[1] == success("relayed=\(Self.v4)", " family2=440"))
        let v6Only = Client.greeted(Relay(.onePort.with { $0.relayAddresses.removeFirst() }), Self.address)
        #expect(v6Only.allocate(.additional(2))[1] == success("relayed=\(Self.v6)", " family1=440"))
        let none = Client.greeted(Relay(.onePort.with { $0.relayAddresses = [] }), Self.address)
        #expect(none.allocate(.additional(2)) == ["-> \(Self.address): allocate 440 signed-sha1"])
    }

    @Test("a family that has no port left is ADDRESS-ERROR-CODE 508 beside the other one; without either it is 508")
    func exhausted() {
        let relay = Relay(.onePort)
        let client = Client.greeted(relay, Self.address)
        let (holder4, holder6) = (Client.greeted(relay, "198.51.100.2:1"), Client.greeted(relay, "198.51.100.2:2"))
        holder6.allocate(.family(2))
        let halfSeen = client.allocate(.additional(2))
        #expect(
            halfSeen == [
                "open first \(Self.v4)", "note exhausted ipv6", success("relayed=\(Self.v4)", " family2=508"),
                "note created \(Self.address) 203.0.113.1:3478 alice \(Self.v4) 600s",
            ])
        client.refresh(.lifetime(0))
        holder6.refresh(.lifetime(0))

        holder4.allocate()
        #expect(
            client.allocate(.additional(2)) == [
                "note exhausted ipv4", "open first \(Self.v6)", success("relayed=\(Self.v6)", " family1=508"),
                "note created \(Self.address) 203.0.113.1:3478 alice \(Self.v6) 600s",
            ])
        client.refresh(.lifetime(0))
        holder6.allocate(.family(2))
        #expect(
            client.allocate(.additional(2)) == [
                "note exhausted ipv4", "note exhausted ipv6", "-> \(Self.address): allocate 508 signed-sha1",
            ])
        #expect(relay.core.counters.allocations == 2)
    }

    @Test("busy ports of each family are counted for themselves")
    func busy() {
        let relay = Relay(.script.with { $0.relayPorts = 50_000...50_099 })
        let client = Client.greeted(relay, Self.address)
        relay.refusals =
            Array(repeating: .addressInUse, count: 15) + [nil]
            + Array(repeating: .addressInUse, count: 15)
        let seen = client.allocate(.additional(2))
        #expect(seen.filter { $0.hasPrefix("open first") }.count == 16)
        #expect(seen.filter { $0.hasPrefix("open additional") }.count == 16)
        #expect(relay.sockets.count == 2)
    }

    @Test("a first address that cannot be bound leaves the additional one")
    func failedFirst() {
        let relay = Relay(.onePort)
        let client = Client.greeted(relay, Self.address)
        relay.refusals = [.failed("x")]
        #expect(
            client.allocate(.additional(2)).filter { $0.hasPrefix("->") }
                == [success("relayed=\(Self.v6)", " family1=508")])
        client.refresh(.lifetime(0))
        relay.refusals = [nil, .failed("x")]
        #expect(
            client.allocate(.additional(2)).filter { $0.hasPrefix("->") }
                == [success("relayed=\(Self.v4)", " family2=508")])
    }

    @Test("Refresh names one family or means both")
    func refresh() {
        let client = dual()
        let relay = client.relay
        _ = relay.pass(seconds: 300)
        #expect(client.refresh(.family(2)) == ["-> \(Self.address): refresh success lifetime=600 signed-sha1"])
        #expect(relay.pass(seconds: 301) == ["close \(Self.v4)"])
        #expect(client.refresh(.family(1)) == ["-> \(Self.address): refresh 443 signed-sha1"])
        #expect(client.permit("192.0.2.9:1") == ["-> \(Self.address): permission 443 signed-sha1"])
        #expect(client.permit("[2001:db8::9]:1") == ["-> \(Self.address): permission success signed-sha1"])
        #expect(client.refresh(.lifetime(3600)) == ["-> \(Self.address): refresh success lifetime=3600 signed-sha1"])
        _ = relay.pass(seconds: 3599)
        #expect(relay.core.counters.allocations == 1)
        #expect(
            relay.pass(seconds: 2) == [
                "close \(Self.v6)",
                "note expired \(Self.address) 203.0.113.1:3478 alice \(Self.v6) 4202s 0/0 0/0",
            ])
        #expect(relay.isEmpty)
    }

    @Test("a release of one family leaves the other; its retransmission gets the same answer")
    func release() {
        let client = dual()
        let request = client.request(.refresh, [.lifetime(0), .family(1)])
        let answer = "-> \(Self.address): refresh success lifetime=0 signed-sha1"
        #expect(client.deliver(request) == [answer, "close \(Self.v4)"])
        let bytes = client.relay.sent
        #expect(client.deliver(request) == [answer])
        #expect(client.relay.sent == bytes)
        #expect(client.refresh(.lifetime(0), .family(1)) == ["-> \(Self.address): refresh 443 signed-sha1"])
        #expect(
            client.refresh(.lifetime(0)) == [
                answer, "close \(Self.v6)",
                "note released \(Self.address) 203.0.113.1:3478 alice \(Self.v6) 0s 0/0 0/0",
            ])
    }

    @Test("443 for every family that the allocation has not")
    func mismatch() {
        let client = Client.greeted(Relay(.onePort), Self.address)
        client.allocate()
        for byte in UInt8.min...UInt8.max {
            let expected = byte == 1 ? "success lifetime=600" : "443"
            #expect(client.refresh(.family(byte)) == ["-> \(Self.address): refresh \(expected) signed-sha1"])
        }
    }

    @Test("both families relay, each with its own permissions and channels, the numbers being shared")
    func relaying() {
        let client = dual()
        let relay = client.relay
        #expect(
            client.permit("192.0.2.9:1", "[2001:db8::9]:1") == ["-> \(Self.address): permission success signed-sha1"])
        #expect(client.bind(0x4000, to: "192.0.2.9:1").count == 2)
        #expect(client.bind(0x4000, to: "[2001:db8::9]:1") == ["-> \(Self.address): channel 400 signed-sha1"])
        #expect(client.bind(0x4001, to: "[2001:db8::9]:1").count == 2)
        #expect(client.say("four", on: 0x4000) == ["forward \(Self.v4) -> 192.0.2.9:1: four"])
        #expect(client.say("six", on: 0x4001) == ["forward \(Self.v6) -> [2001:db8::9]:1: six"])
        #expect(
            relay.deliver("4", to: "203.0.113.1:50000", from: "192.0.2.9:1") == ["forward 0x4000 -> \(Self.address): 4"]
        )
        #expect(
            client.refresh(.lifetime(0), .family(2)) == [
                "-> \(Self.address): refresh success lifetime=0 signed-sha1", "remove #1", "close \(Self.v6)",
            ])
        #expect(client.say("four", on: 0x4000) == ["forward \(Self.v4) -> 192.0.2.9:1: four"])
        #expect(client.say("six", on: 0x4001) == ["dropped"])
        #expect(
            client.bind(0x4001, to: "192.0.2.9:2").suffix(1) == ["-> \(Self.address): channel success signed-sha1"])
    }
}
