import STUN
import Testing

@testable import RelayCore

/// RFC 8656 section 11.
@Suite("Indications")
struct IndicationTests {
    static let address: TransportAddress = "198.51.100.1:5000"
    static let relayed: TransportAddress = "203.0.113.1:50000"
    static let peer: TransportAddress = "192.0.2.9:9000"

    private func permitted(_ fields: Field...) -> Client {
        let client = Client.greeted(Relay(.onePort), Self.address)
        _ = client.deliver(client.request(.allocate, [.udp] + fields))
        client.permit(Self.peer)
        return client
    }

    @Test("a Send indication becomes the datagram that it carries, whatever its size")
    func send() {
        let client = permitted()
        #expect(client.indicate("hello", to: Self.peer) == ["\(Self.relayed) -> \(Self.peer): hello"])
        #expect(client.indicate("", to: Self.peer) == ["\(Self.relayed) -> \(Self.peer): "])
        #expect(client.indicate("hello", to: Self.peer, .dontFragment) == ["\(Self.relayed) -> \(Self.peer): hello DF"])
        for count in [1, 1200, 65_000] {
            let data = (0..<count).map { UInt8(truncatingIfNeeded: $0) }
            _ = client.deliver(
                encode(.indication, .send, client.nextTransaction(), [.data(data), .peer(Self.peer)]))
            #expect(client.relay.sent.map(\.bytes) == [data])
        }
    }

    @Test("what is wrong with a Send indication is dropped without a word")
    func badSend() {
        let client = permitted()
        func send(_ fields: [Field]) -> [String] {
            client.deliver(encode(.indication, .send, client.nextTransaction(), fields))
        }
        #expect(send([.peer(Self.peer)]) == [])
        #expect(send([.data("x")]) == [])
        #expect(send([.peer("[2001:db8::9]:1"), .data("x")]) == [])
        #expect(send([.peer("192.0.2.9:0"), .data("x")]) == [])
        #expect(send([.peer(Self.peer), .data("x"), .raw(0x7001, [])]) == [])
        #expect(send([.raw(0x0012, [1, 2]), .data("x")]) == [])
        #expect(client.relay.core.counters[.badIndication] == 6)
        #expect(send([.peer("192.0.2.8:1"), .data("x")]) == [])
        #expect(client.relay.core.counters[.noPermission] == 1)
        let stranger = Client(client.relay, "198.51.100.2:5000")
        #expect(stranger.indicate("x", to: Self.peer) == [])
        #expect(client.relay.core.counters[.noAllocation] == 1)
        #expect(client.relay.core.counters[.send, .success] == 0)
    }

    @Test("of several peers or payloads the first counts")
    func first() {
        let client = permitted()
        let bytes = encode(
            .indication, .send, client.nextTransaction(),
            [.peer(Self.peer), .peer("192.0.2.8:1"), .data("one"), .data("two")])
        #expect(client.deliver(bytes) == ["\(Self.relayed) -> \(Self.peer): one"])
    }

    @Test("a peer's datagram becomes a Data indication with its address, if that fits a datagram")
    func data() {
        let client = permitted()
        let slot = client.relay.slot(of: Self.relayed)
        #expect(
            client.relay.deliver("hello", to: Self.relayed, from: Self.peer)
                == ["-> \(Self.address): data peer=\(Self.peer) data=hello"])
        #expect(
            client.relay.deliver("", to: Self.relayed, from: Self.peer)
                == ["-> \(Self.address): data peer=\(Self.peer) data="])
        // 65,507 less 20 of header, 12 of XOR-PEER-ADDRESS, 4 before DATA, in words of four.
        let longest = [UInt8](repeating: 65, count: 65_468)
        #expect(client.relay.deliver(longest, on: slot, from: Self.peer).count == 1)
        #expect(client.relay.sent.map(\.bytes.count) == [65_504])
        #expect(client.relay.deliver(longest + [65], on: slot, from: Self.peer) == [])
        #expect(client.relay.core.counters[.malformed] == 1)
        #expect(client.relay.core.counters.indicationTraffic.packetsToClient == 3)
    }

    @Test("what looks like STUN is data when it comes from a peer")
    func stunFromPeer() {
        let client = permitted()
        let request = encode(.request, .binding, TransactionID(high: 1, low: 2), [])
        let slot = client.relay.slot(of: Self.relayed)
        let seen = client.relay.deliver(request, on: slot, from: Self.peer)
        #expect(seen.count == 1 && seen[0].hasPrefix("-> \(Self.address): data peer=\(Self.peer) data="))
    }

    @Test("every Data indication has a transaction of its own")
    func transactions() {
        let client = permitted()
        var seen = Set<[UInt8]>()
        for _ in 0..<100 {
            _ = client.relay.deliver("x", to: Self.relayed, from: Self.peer)
            client.relay.sent.forEach { seen.insert(Array($0.bytes[8..<20])) }
        }
        #expect(seen.count == 100)
    }

    @Test("an ICMP error from a permitted peer is indicated with the ICMP attribute, the types that the RFC names")
    func icmp() {
        let client = permitted(.additional(2))
        client.permit("[2001:db8::9]:1")
        let relay = client.relay
        for (relayed, peer, types) in [
            (Self.relayed, Self.peer, Set<UInt8>([3, 11])), ("[2001:db8:1::1]:50000", "[2001:db8::9]:1", [1, 2, 3]),
        ] as [(TransportAddress, TransportAddress, Set<UInt8>)] {
            for type in UInt8.min...UInt8.max {
                let error = ICMPAttribute(type: type, code: 4, data: 1400)
                let expected = "-> \(Self.address): data peer=\(peer) icmp=\(type)/4/1400"
                #expect(relay.report(error, from: peer, to: relayed) == (types.contains(type) ? [expected] : []))
            }
        }
        #expect(relay.core.counters.icmpIndications == 5)
        let error = ICMPAttribute(type: 3, code: 3, data: 0)
        #expect(relay.report(error, from: "192.0.2.8:9000", to: Self.relayed) == [])
        #expect(relay.report(error, from: "192.0.2.9:1", to: Self.relayed).count == 1)
        var effects = Effects()
        // Nor does anybody hear of errors on a listener or on a socket that is gone.
        relay.core.report(error, from: Self.peer, on: Relay.Listener.ipv4.slot, into: &effects)
        relay.core.report(error, from: Self.peer, on: SocketSlot(index: 77), into: &effects)
        #expect(effects.list.count == 0)
    }

    @Test("an ICMP error about a channel's peer is indicated too")
    func icmpOfChannel() {
        let client = permitted()
        client.bind(0x4000, to: Self.peer)
        #expect(
            client.relay.report(ICMPAttribute(type: 3, code: 1, data: 0), from: Self.peer, to: Self.relayed)
                == ["-> \(Self.address): data peer=\(Self.peer) icmp=3/1/0"])
    }
}
