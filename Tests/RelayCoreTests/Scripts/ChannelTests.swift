import STUN
import Testing

@testable import RelayCore

/// RFC 8656 section 12.
@Suite("Channels")
struct ChannelTests {
    static let address: TransportAddress = "198.51.100.1:5000"
    static let relayed: TransportAddress = "203.0.113.1:50000"
    static let peer: TransportAddress = "192.0.2.9:9000"
    static let success = "-> 198.51.100.1:5000: channel success signed-sha1"
    static let refused = "-> 198.51.100.1:5000: channel 400 signed-sha1"

    private func allocated(_ configuration: Configuration = .onePort) -> Client {
        let client = Client.greeted(Relay(configuration), Self.address)
        client.allocate(.lifetime(3600))
        return client
    }

    /// What installs route 0 of the scripts.
    private func install(
        _ number: String = "0x4000", _ peer: TransportAddress = peer, _ lease: String = "300s"
    ) -> String {
        "install #0 \(Self.address) 203.0.113.1:3478 \(number) \(Self.relayed) \(peer) \(lease)"
    }

    @Test("the route is installed before the answer; then data goes both ways, to the byte")
    func bind() {
        let client = allocated()
        let relay = client.relay
        #expect(client.bind(0x4000, to: Self.peer) == [install(), Self.success])
        #expect(client.say("hello", on: 0x4000) == ["forward \(Self.relayed) -> \(Self.peer): hello"])
        #expect(client.say("hello", on: 0x4000, padding: 3) == ["forward \(Self.relayed) -> \(Self.peer): hello"])
        #expect(client.say("", on: 0x4000) == ["forward \(Self.relayed) -> \(Self.peer): "])
        #expect(
            relay.deliver("world", to: Self.relayed, from: Self.peer) == ["forward 0x4000 -> \(Self.address): world"])
        #expect(relay.deliver("", to: Self.relayed, from: Self.peer) == ["forward 0x4000 -> \(Self.address): "])
        // The binding brought a permission: another port of that peer gets Data indications.
        #expect(
            relay.deliver("hi", to: Self.relayed, from: "192.0.2.9:9001")
                == ["-> \(Self.address): data peer=192.0.2.9:9001 data=hi"])
        #expect(relay.core.counters.channelTraffic == traffic(toPeers: (3, 10), toClient: (2, 5)))
        #expect(relay.core.counters.channels == 1)
    }

    @Test("channel data that nobody bound, or that lies about its length, is dropped")
    func strangeData() {
        let client = allocated()
        client.bind(0x4000, to: Self.peer)
        #expect(client.say("x", on: 0x4001) == ["dropped"])
        #expect(client.say("x", on: 0x7FFF) == ["dropped"])
        let other = Client(client.relay, "198.51.100.1:5001")
        #expect(other.say("x", on: 0x4000) == ["dropped"])
        #expect(Client(client.relay, Self.address, on: .ipv6).say("x", on: 0x4000) == ["dropped"])
        #expect(client.relay.core.counters[.unboundChannel] == 4)
        for bytes in [[], [0x40], [0x40, 0, 0], [0x40, 0, 0, 1], [0x40, 0, 0xFF, 0xFF, 1], [0x80, 0, 0, 0], [0xFF]]
            as [[UInt8]]
        {
            #expect(client.deliver(bytes) == ["dropped"])
        }
        #expect(client.relay.core.counters[.malformed] == 7)
    }

    @Test("a datagram that no channel header can announce is dropped")
    func tooLong() {
        let client = allocated()
        client.bind(0x4000, to: Self.peer)
        let slot = client.relay.slot(of: Self.relayed)
        let longest = [UInt8](repeating: 65, count: 65_503)
        #expect(client.relay.deliver(longest, on: slot, from: Self.peer)[0].hasPrefix("forward 0x4000"))
        #expect(client.relay.deliver(longest + [65], on: slot, from: Self.peer) == ["dropped"])
    }

    @Test("the numbers are 0x4000 to 0x4FFF, or up to 0x7FFF for old clients")
    func numbers() {
        for (range, last) in [(.rfc8656, 0x4FFF), (.rfc5766, 0x7FFF)] as [(ChannelNumber.Range, UInt16)] {
            let client = allocated(.onePort.with { $0.channelNumbers = range })
            for (offset, number) in [0, 0x3FFF, 0x4000, 0x4FFF, 0x5000, 0x7FFF, 0x8000, 0xFFFF].enumerated() {
                let peer = TransportAddress(ip("192.0.2.9"), port: UInt16(offset + 1))
                let isGood = (0x4000...last).contains(UInt16(number))
                #expect(client.bind(UInt16(number), to: peer).last == (isGood ? Self.success : Self.refused))
            }
        }
    }

    @Test("400 without a number, without a peer, or for port 0")
    func incomplete() {
        let client = allocated()
        #expect(client.deliver(client.request(.channelBind, [.channel(0x4000)])) == [Self.refused])
        #expect(client.deliver(client.request(.channelBind, [.peer(Self.peer)])) == [Self.refused])
        #expect(client.bind(0x4000, to: "192.0.2.9:0") == [Self.refused])
        #expect(client.relay.footprint["channels"] == 0)
        #expect(client.relay.footprint["permitted"] == 0)
        #expect(client.bind(0x4000, to: "[2001:db8::9]:1") == ["-> \(Self.address): channel 443 signed-sha1"])
    }

    @Test("a number and a peer belong to each other: the same pair renews, any other is 400")
    func pairs() {
        let client = allocated()
        client.bind(0x4000, to: Self.peer)
        #expect(client.bind(0x4000, to: Self.peer) == ["renew #0 300s", Self.success])
        #expect(client.bind(0x4000, to: "192.0.2.9:9001") == [Self.refused])
        #expect(client.bind(0x4000, to: "192.0.2.8:9000") == [Self.refused])
        #expect(client.bind(0x4001, to: Self.peer) == [Self.refused])
        #expect(
            client.bind(0x4001, to: "192.0.2.9:9001") == [
                "renew #0 300s",
                "install #1 \(Self.address) 203.0.113.1:3478 0x4001 \(Self.relayed) 192.0.2.9:9001 300s",
                Self.success,
            ])
        // Crosswise is wrong for both.
        #expect(client.bind(0x4000, to: "192.0.2.9:9001") == [Self.refused])
        #expect(client.relay.core.counters.channels == 2)
    }

    @Test("it lasts 600 s, rests 300 s and is forgotten")
    func lifeCycle() {
        let client = allocated()
        let relay = client.relay
        client.bind(0x4000, to: Self.peer)
        _ = relay.pass(seconds: 299)
        #expect(client.permit(Self.peer).first == "renew #0 300s")
        _ = relay.pass(seconds: 299)
        // The lease is the shorter of the two: the binding has two seconds left.
        #expect(client.permit(Self.peer).first == "renew #0 2s")
        #expect(relay.pass(milliseconds: 1999) == [])
        #expect(client.say("hello", on: 0x4000).first?.hasPrefix("forward") == true)
        #expect(relay.pass(milliseconds: 257) == ["remove #0"])

        // Cool-down: no channel data, Data indications instead; the pair is still a pair.
        #expect(client.say("hello", on: 0x4000) == ["dropped"])
        #expect(
            relay.deliver("hi", to: Self.relayed, from: Self.peer)
                == ["-> \(Self.address): data peer=\(Self.peer) data=hi"])
        #expect(client.permit(Self.peer) == ["-> \(Self.address): permission success signed-sha1"])
        #expect(client.bind(0x4000, to: "192.0.2.8:1") == [Self.refused])
        #expect(client.bind(0x4001, to: Self.peer) == [Self.refused])
        #expect(relay.pass(milliseconds: 299_743) == [])
        #expect(client.bind(0x4001, to: Self.peer) == [Self.refused])
        #expect(relay.pass(milliseconds: 257) == [])
        #expect(relay.footprint["channels"] == 0)
        #expect(client.bind(0x4001, to: Self.peer) == [install("0x4001"), Self.success])
        #expect(client.bind(0x4000, to: "192.0.2.8:1").last == Self.success)
    }

    @Test("in the cool-down the same pair may be bound again, and then lives as long as a new one")
    func revival() {
        let client = allocated()
        let relay = client.relay
        client.bind(0x4000, to: Self.peer)
        _ = relay.pass(seconds: 300)
        client.permit(Self.peer)
        #expect(relay.pass(seconds: 301) == ["remove #0"])
        _ = relay.pass(seconds: 298)
        #expect(client.bind(0x4000, to: Self.peer) == [install(), Self.success])
        #expect(client.say("hello", on: 0x4000).first?.hasPrefix("forward") == true)
        _ = relay.pass(seconds: 299)
        #expect(client.permit(Self.peer).first == "renew #0 300s")
        _ = relay.pass(seconds: 299)
        #expect(client.permit(Self.peer).first == "renew #0 2s")
        #expect(relay.pass(milliseconds: 1999) == [])
        #expect(relay.pass(milliseconds: 257) == ["remove #0"])
    }

    @Test(
        "without a permission the binding sleeps; CreatePermission or ChannelBind wakes it", arguments: [true, false])
    func sleep(_ wakesByBinding: Bool) {
        let client = allocated()
        let relay = client.relay
        client.bind(0x4000, to: Self.peer)
        #expect(relay.pass(milliseconds: 299_999) == [])
        #expect(relay.pass(milliseconds: 257) == ["remove #0"])
        #expect(client.say("hello", on: 0x4000) == ["dropped"])
        #expect(relay.deliver("hi", to: Self.relayed, from: Self.peer) == ["dropped"])
        #expect(relay.core.counters[.noPermission] == 2)
        #expect(relay.core.counters.channels == 0)
        #expect(relay.footprint["channels"] == 1)
        _ = relay.pass(milliseconds: 99_744)
        if wakesByBinding {
            #expect(client.bind(0x4000, to: Self.peer) == [install(), Self.success])
        } else {
            #expect(
                client.permit("192.0.2.9:1")
                    == [install("0x4000", Self.peer, "200s"), "-> \(Self.address): permission success signed-sha1"])
        }
        #expect(client.say("hello", on: 0x4000).first?.hasPrefix("forward") == true)
        #expect(relay.core.counters.channels == 1)
    }

    @Test("several clients may each bind a channel to one peer address")
    func onePeer() {
        let relay = Relay()
        let clients = (UInt16(1)...4).map { Client.greeted(relay, TransportAddress(ip("198.51.100.1"), port: $0)) }
        for client in clients {
            client.allocate()
            #expect(client.bind(0x4000, to: Self.peer).count == 2)
        }
        for client in clients {
            let seen = client.say("hello", on: 0x4000)
            #expect(seen.count == 1 && seen[0].hasSuffix("-> \(Self.peer): hello"))
        }
        for (slot, relayed) in relay.sockets {
            let seen = relay.deliver("hello", to: relayed, from: Self.peer)
            let client = clients[Int(slot.index) - 10]
            #expect(seen == ["forward 0x4000 -> \(client.address): hello"])
        }
    }

    @Test("a peer without a channel on that very port is no channel's peer")
    func exactPeer() {
        let client = allocated()
        client.bind(0x4000, to: Self.peer)
        #expect(client.relay.deliver("hi", to: Self.relayed, from: "192.0.2.8:9000") == ["dropped"])
        #expect(
            client.relay.deliver("hi", to: Self.relayed, from: "192.0.2.9:9001")
                == ["-> \(Self.address): data peer=192.0.2.9:9001 data=hi"])
    }

    @Test("all 4,096 numbers can be bound, and all go with the allocation")
    func all() {
        let client = allocated()
        for number in UInt16(0x4000)...0x4FFF {
            let peer = TransportAddress(IPAddress(v4: 0xC000_0200 + UInt32(number & 0x3F)), port: number)
            guard client.bind(number, to: peer).last == Self.success else {
                Issue.record("\(number)")
                return
            }
        }
        #expect(client.relay.core.counters.channels == 4096)
        #expect(client.refresh(.lifetime(0)).filter { $0.hasPrefix("remove") }.count == 4096)
        #expect(client.relay.core.counters.channels == 0 && client.relay.core.counters.permissions == 0)
        _ = client.relay.pass(seconds: 3601)
        #expect(client.relay.isEmpty)
    }
}
