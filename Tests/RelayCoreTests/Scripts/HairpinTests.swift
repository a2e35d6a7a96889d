import STUN
import Testing

@testable import RelayCore

/// Peers that are relayed transport addresses of this very relay, and its other own addresses.
@Suite("Hairpins")
struct HairpinTests {
    static let (a, b): (TransportAddress, TransportAddress) = ("198.51.100.1:5000", "198.51.100.2:5000")

    /// Two clients with an allocation each, and the relayed addresses as they were told.
    private func pair(_ configuration: Configuration) -> (Client, TransportAddress, Client, TransportAddress) {
        let relay = Relay(configuration)
        let (first, second) = (Client.greeted(relay, Self.a), Client.greeted(relay, Self.b, user: "bob"))
        func relayed(_ client: Client) -> TransportAddress {
            let words = client.allocate().joined(separator: " ").split(separator: " ")
            let word = words.first { $0.hasPrefix("relayed=") } ?? "relayed=0.0.0.0:0"
            return TransportAddress(stringLiteral: String(word.dropFirst(8)))
        }
        return (first, relayed(first), second, relayed(second))
    }

    /// The socket address behind a told one.
    private func inside(_ told: TransportAddress) -> TransportAddress {
        TransportAddress(ip("10.1.1.1"), port: told.port)
    }

    @Test("two clients of one relay meet: channels and indications, whatever the policy says of the relay itself")
    func meeting() {
        let (first, firstRelayed, second, secondRelayed) = pair(
            .script.with { $0.peerPolicy = PeerPolicy(profile: .public, allow: [], deny: cidrs("203.0.113.0/24")) })
        #expect(first.bind(0x4000, to: secondRelayed).last == "-> \(Self.a): channel success signed-sha1")
        #expect(second.permit(firstRelayed) == ["-> \(Self.b): permission success signed-sha1"])
        #expect(first.say("hi", on: 0x4000) == ["forward \(firstRelayed) -> \(secondRelayed): hi"])
        #expect(
            first.relay.deliver("hi", to: secondRelayed, from: firstRelayed)
                == ["-> \(Self.b): data peer=\(firstRelayed) data=hi"])
        #expect(second.indicate("ho", to: firstRelayed) == ["\(secondRelayed) -> \(firstRelayed): ho"])
        #expect(first.relay.deliver("ho", to: firstRelayed, from: secondRelayed) == ["forward 0x4000 -> \(Self.a): ho"])
    }

    @Test("an allocation may be its own peer")
    func itself() {
        let (first, firstRelayed, _, _) = pair(.script)
        #expect(first.bind(0x4000, to: firstRelayed).count == 2)
        #expect(first.say("me", on: 0x4000) == ["forward \(firstRelayed) -> \(firstRelayed): me"])
        #expect(first.relay.deliver("me", to: firstRelayed, from: firstRelayed) == ["forward 0x4000 -> \(Self.a): me"])
    }

    @Test("a port of the relay that is not relayed now is 403 for channels and a drop for Send")
    func notRelayed() {
        let (first, _, second, secondRelayed) = pair(.script)
        for own in ["203.0.113.1:3478", "203.0.113.1:49999"] as [TransportAddress] {
            #expect(
                first.bind(0x4000, to: own) == [
                    "note denied \(Self.a) alice \(own) special-purpose:documentation 203.0.113.0/24",
                    "-> \(Self.a): channel 403 signed-sha1",
                ])
            // A permission covers every port, and any port may become a relayed one.
            #expect(first.permit(own) == ["-> \(Self.a): permission success signed-sha1"])
            #expect(first.indicate("x", to: own) == [])
        }
        #expect(first.relay.core.counters[.deniedPeer] == 2)
        #expect(first.indicate("x", to: secondRelayed).count == 1)
        second.refresh(.lifetime(0))
        #expect(first.indicate("x", to: secondRelayed) == [])
        #expect(first.bind(0x4000, to: secondRelayed).last == "-> \(Self.a): channel 403 signed-sha1")
    }

    @Test("the host's other addresses are denied unless the allow list names exactly that address")
    func ownAddresses() {
        let open = Configuration.script.with {
            $0.ownAddresses = [ip("8.8.8.8"), ip("203.0.113.1")]
            $0.peerPolicy = PeerPolicy(profile: .public, allow: [], deny: [])
        }
        let (first, _, _, _) = pair(open)
        for seen in [first.permit("8.8.8.8:53"), first.bind(0x4000, to: "8.8.8.8:53")] {
            #expect(seen[0] == "note denied \(Self.a) alice 8.8.8.8:53 own-address 8.8.8.8")
            #expect(seen[1].contains(" 403 "))
        }
        let (second, _, _, _) = pair(
            open.with { $0.peerPolicy = PeerPolicy(profile: .public, allow: cidrs("8.8.8.0/24"), deny: []) })
        #expect(second.permit("8.8.8.8:53").last?.contains(" 403 ") == true)
        let (third, _, _, _) = pair(
            open.with { $0.peerPolicy = PeerPolicy(profile: .public, allow: cidrs("8.8.8.8/32"), deny: []) })
        #expect(third.permit("8.8.8.8:53") == ["-> \(Self.a): permission success signed-sha1"])
    }

    @Test("behind a 1:1 NAT clients and peers see the outside, sockets the inside")
    func nat() {
        let (first, firstTold, second, secondTold) = pair(
            .script.with { $0.relayAddresses = [RelayAddress(address: ip("10.1.1.1"), external: ip("203.0.113.7"))] })
        let (firstInside, secondInside) = (inside(firstTold), inside(secondTold))
        #expect(firstTold.ip == ip("203.0.113.7") && secondTold.ip == ip("203.0.113.7"))
        #expect(Set(first.relay.sockets.values) == [firstInside, secondInside])

        #expect(
            first.bind(0x4000, to: secondTold) == [
                "install #0 \(Self.a) 203.0.113.1:3478 0x4000 \(firstInside) \(secondInside) 300s",
                "-> \(Self.a): channel success signed-sha1",
            ])
        #expect(second.permit(firstTold) == ["-> \(Self.b): permission success signed-sha1"])
        #expect(first.say("hi", on: 0x4000) == ["forward \(firstInside) -> \(secondInside): hi"])
        #expect(
            first.relay.deliver("hi", to: secondInside, from: firstInside)
                == ["-> \(Self.b): data peer=\(firstTold) data=hi"])
        #expect(second.indicate("ho", to: firstTold) == ["\(secondInside) -> \(firstInside): ho"])
        #expect(
            first.relay.report(ICMPAttribute(type: 3, code: 3, data: 0), from: secondInside, to: firstInside)
                == ["-> \(Self.a): data peer=\(secondTold) icmp=3/3/0"])
        // The same address by its inside name is the same peer.
        #expect(first.bind(0x4000, to: secondInside) == ["renew #0 300s", "-> \(Self.a): channel success signed-sha1"])
        #expect(first.bind(0x4001, to: secondInside) == ["-> \(Self.a): channel 400 signed-sha1"])
    }

    @Test("the relay's other ports are denied by both of its names")
    func natOwn() {
        let (first, _, _, _) = pair(
            .script.with { $0.relayAddresses = [RelayAddress(address: ip("10.1.1.1"), external: ip("203.0.113.7"))] })
        for own in ["203.0.113.7:3478", "10.1.1.1:3478"] as [TransportAddress] {
            #expect(first.bind(0x4000, to: own).last == "-> \(Self.a): channel 403 signed-sha1")
        }
        #expect(first.permit("10.1.1.2:1").last == "-> \(Self.a): permission 403 signed-sha1")
    }

    @Test("clients of two workers meet")
    func workers() {
        let host = Relay.Host(.script)
        let relays = [0, 1].map { Relay(.script, host: host, worker: $0, of: 2, seed: UInt64($0)) }
        let (first, second) = (Client.greeted(relays[0], Self.a), Client.greeted(relays[1], Self.b))
        first.allocate()
        second.allocate()
        guard let relayed = relays[1].sockets.values.first else { preconditionFailure("no socket") }
        #expect(first.bind(0x4000, to: relayed).count == 2)
        second.refresh(.lifetime(0))
        #expect(first.bind(0x4000, to: relayed).last == "-> \(Self.a): channel 403 signed-sha1")
    }
}
