import STUN
import Testing

@testable import RelayCore

@Suite("Relay addresses and listeners that change under living allocations")
struct AddressChangeTests {
    static let (a, b): (TransportAddress, TransportAddress) = ("198.51.100.1:5000", "198.51.100.2:5000")
    static let peer: TransportAddress = "192.0.2.9:9000"
    static let first = RelayAddress(address: ip("203.0.113.1"))
    static let second = RelayAddress(address: ip("203.0.113.2"))
    let relay = Relay(.onePort)

    private static func relaying(_ addresses: RelayAddress...) -> Configuration {
        .onePort.with {
            $0.relayAddresses = addresses
            $0.ownAddresses.append(second.address)
        }
    }

    private func client(_ address: TransportAddress, user: String = "alice") -> Client {
        Client.greeted(relay, address, user: user)
    }

    private func expectToTalk(_ client: Client, from relayed: String, _ location: SourceLocation = #_sourceLocation) {
        #expect(
            client.say("hello", on: 0x4000) == ["forward \(relayed) -> \(Self.peer): hello"], sourceLocation: location)
        #expect(client.refresh().first?.contains("refresh success") == true, sourceLocation: location)
    }

    @Test("a new relay address takes the next allocation; the living one does not notice")
    func added() {
        let (old, new) = (client(Self.a), client(Self.b))
        #expect(old.allocate().count == 3)
        old.bind(0x4000, to: Self.peer)
        // The one port of the first address is taken.
        #expect(new.allocate().last == "-> \(Self.b): allocate 508 signed-sha1")
        #expect(relay.reconfigure(Self.relaying(Self.first, Self.second)) == [])
        #expect(new.allocate().first == "open first 203.0.113.2:50000")
        expectToTalk(old, from: "203.0.113.1:50000")
        #expect(new.bind(0x4000, to: Self.peer).count == 2)
        expectToTalk(new, from: "203.0.113.2:50000")
    }

    @Test("a removed relay address takes none, and what lives on it lives on, hairpins included")
    func removed() {
        let (old, new) = (client(Self.a), client(Self.b, user: "bob"))
        #expect(old.allocate().count == 3)
        old.bind(0x4000, to: Self.peer)
        #expect(relay.reconfigure(Self.relaying(Self.second)) == [])
        expectToTalk(old, from: "203.0.113.1:50000")
        #expect(new.allocate().first == "open first 203.0.113.2:50000")
        #expect(relay.host.ledger.relayedCount(on: Self.first.address) == 1)
        // The two meet, through channels, permissions and indications.
        #expect(new.bind(0x4000, to: "203.0.113.1:50000").last == "-> \(Self.b): channel success signed-sha1")
        #expect(old.permit("203.0.113.2:50000").last == "-> \(Self.a): permission success signed-sha1")
        #expect(
            old.indicate("hi", to: "203.0.113.2:50000") == ["203.0.113.1:50000 -> 203.0.113.2:50000: hi"])
        _ = old.refresh(.lifetime(0))
        #expect(relay.host.ledger.relayedCount(on: Self.first.address) == 0)
        #expect(old.allocate().last == "-> \(Self.a): allocate 508 signed-sha1")
        _ = new.refresh(.lifetime(0))
        _ = relay.pass(seconds: 1000)
        #expect(relay.isEmpty)
    }

    @Test("without an address of a family there are no allocations of it")
    func familyGone() {
        let old = client(Self.a)
        #expect(old.allocate().count == 3)
        _ = relay.reconfigure(Self.relaying())
        #expect(client(Self.b).allocate() == ["-> \(Self.b): allocate 440 signed-sha1"])
        #expect(old.refresh().first?.contains("refresh success") == true)
    }

    @Test("an address that comes back still knows the ports that are taken")
    func back() {
        let (old, new) = (client(Self.a), client(Self.b))
        #expect(old.allocate().count == 3)
        for _ in 0..<3 {
            _ = relay.reconfigure(Self.relaying(Self.second))
            _ = relay.reconfigure(Self.relaying(Self.first))
        }
        #expect(new.allocate() == ["note exhausted ipv4", "-> \(Self.b): allocate 508 signed-sha1"])
        _ = old.refresh(.lifetime(0))
        #expect(new.allocate().first == "open first 203.0.113.1:50000")
    }

    @Test("a sibling that was reserved before is handed out, by a worker that knows the address or not")
    func claimed() {
        for knows in [true, false] {
            let pair = Configuration.onePair.with { $0.relayAddresses = [Self.first] }
            let one = Relay(pair, worker: 0, of: 2)
            let other = Relay(
                pair.with { if !knows { $0.relayAddresses = [Self.second] } }, host: one.host, worker: 1, of: 2)
            let holder = Client.greeted(one, Self.a)
            #expect(holder.allocate(.evenPort(reserving: true)).count == 4)
            _ = one.reconfigure(pair.with { $0.relayAddresses = [Self.second] })
            let claimer = Client.greeted(other, Self.b)
            #expect(claimer.allocate(.token(one.latestToken ?? 0)).first == "open claimed 203.0.113.1:50001")
            // Both ports are peers, whichever core is asked.
            #expect(one.host.ledger.relayedCount(on: Self.first.address) == 2)
            #expect(holder.bind(0x4000, to: "203.0.113.1:50001").last == "-> \(Self.a): channel success signed-sha1")
            _ = claimer.refresh(.lifetime(0))
            #expect(one.host.ledger.relayedCount(on: Self.first.address) == 1)
        }
    }

    @Test("an address with another name outside: the new are told the new one, and the old one still finds the living")
    func renamed() {
        let named = ["198.18.0.1", "198.18.0.2"].map { outside in
            Configuration.script.with {
                $0.relayAddresses = [RelayAddress(address: Self.first.address, external: ip(outside))]
            }
        }
        let relay = Relay(named[0])
        let (old, new) = (Client.greeted(relay, Self.a), Client.greeted(relay, Self.b, user: "bob"))
        #expect(old.allocate().last?.contains("198.18.0.1:") == true)
        guard let port = relay.sockets.values.first?.port else {
            Issue.record("no socket")
            return
        }
        _ = relay.reconfigure(named[1])
        #expect(new.allocate().last?.contains("198.18.0.2:") == true)
        for outside in ["198.18.0.1", "198.18.0.2"] {
            let peer = TransportAddress(ip(outside), port: port)
            #expect(new.permit(peer).last == "-> \(Self.b): permission success signed-sha1")
            #expect(new.indicate("hi", to: peer).last?.hasSuffix("-> 203.0.113.1:\(port): hi") == true)
        }
    }

    @Test("a reserved sibling counts on its address until its time is over")
    func reserved() {
        let relay = Relay(.onePair)
        let ledger = relay.host.ledger
        let holder = Client.greeted(relay, Self.a)
        #expect(holder.allocate(.evenPort(reserving: true)).count == 4)
        #expect(ledger.relayedCount(on: Self.first.address) == 2)
        _ = holder.refresh(.lifetime(0))
        #expect(ledger.relayedCount(on: Self.first.address) == 1)
        #expect(ledger.relayedCount(on: Self.second.address) == 0)
        _ = relay.pass(seconds: 31)
        #expect(ledger.relayedCount(on: Self.first.address) == 0)
    }

    @Test("a relay address that was given up is ours only as long as something lives on it")
    func givenUp() {
        let (old, new) = (client(Self.a), client(Self.b, user: "bob"))
        #expect(old.allocate().count == 3)
        _ = relay.reconfigure(Self.relaying(Self.second))
        #expect(new.allocate().first == "open first 203.0.113.2:50000")
        #expect(new.permit("203.0.113.1:9").last == "-> \(Self.b): permission success signed-sha1")
        _ = old.refresh(.lifetime(0))
        #expect(new.permit("203.0.113.1:9").last == "-> \(Self.b): permission 403 signed-sha1")
        // The permission from before does not vouch for what the rules deny.
        #expect(new.indicate("hi", to: "203.0.113.1:50000") == [])

        // Another host has the address now, and the rules allow it.
        let elsewhere = Self.relaying(Self.second).with {
            $0.ownAddresses = [Self.second.address]
            $0.peerPolicy = PeerPolicy(profile: .public, allow: cidrs("203.0.113.0/24"), deny: [])
        }
        _ = relay.reconfigure(elsewhere)
        #expect(new.bind(0x4000, to: "203.0.113.1:9000").last == "-> \(Self.b): channel success signed-sha1")
        // Offered again, only its relayed ports are peers.
        _ = relay.reconfigure(elsewhere.with { $0.relayAddresses = [Self.first, Self.second] })
        #expect(new.bind(0x4001, to: "203.0.113.1:9001").last == "-> \(Self.b): channel 403 signed-sha1")
    }

    @Test("a former name outside leads inside only as long as something lives there", arguments: [true, false])
    func formerName(isOffered: Bool) {
        let named = Configuration.onePort.with {
            $0.relayAddresses = [RelayAddress(address: Self.first.address, external: ip("198.18.0.1"))]
            $0.peerPolicy = PeerPolicy(profile: .public, allow: cidrs("198.18.0.0/15"), deny: [])
        }
        let kept = isOffered ? [RelayAddress(address: Self.first.address, external: ip("198.18.0.2"))] : []
        let relay = Relay(named)
        let (old, new) = (Client.greeted(relay, Self.a), Client.greeted(relay, Self.b, user: "bob"))
        #expect(old.allocate().count == 3)
        _ = relay.reconfigure(named.with { $0.relayAddresses = kept + [Self.second] })
        #expect(new.allocate().first == "open first 203.0.113.2:50000")
        let outside: TransportAddress = "198.18.0.1:50000"
        for found in ["203.0.113.1:50000", "198.18.0.1:50000"] {
            #expect(new.permit(outside).last == "-> \(Self.b): permission success signed-sha1")
            #expect(new.indicate("hi", to: outside) == ["203.0.113.2:50000 -> \(found): hi"])
            _ = old.refresh(.lifetime(0))
        }
        guard !isOffered else { return }
        // Nor is the inside called by that name any more.
        #expect(
            relay.deliver("hi", to: "203.0.113.2:50000", from: "203.0.113.1:7")
                == ["-> \(Self.b): data peer=203.0.113.1:7 data=hi"])
    }

    @Test("a listener that leaves refuses the new and keeps the living, until it is told to listen again")
    func leaving() {
        let (old, new) = (client(Self.a), client(Self.b))
        #expect(old.allocate().count == 3)
        old.bind(0x4000, to: Self.peer)
        let slot = Relay.Listener.ipv4.slot
        #expect(relay.core.allocationCount(on: slot) == 1)
        relay.core.leave(slot)
        expectToTalk(old, from: "203.0.113.1:50000")
        #expect(new.allocate() == ["-> \(Self.b): allocate 508 signed-sha1"])
        _ = relay.reconfigure(
            .onePort.with { $0.leavingAdmission = .redirect(ipv4: "198.51.100.200:3478", ipv6: nil) })
        #expect(new.allocate() == ["-> \(Self.b): allocate 300 alternate=198.51.100.200:3478 signed-sha1"])
        // The other listener is none of its business.
        let ipv6 = Client.greeted(relay, "[2001:db8:2::1]:5000")
        #expect(ipv6.allocate(.family(2)).first == "open first [2001:db8:1::1]:50000")
        _ = old.refresh(.lifetime(0))
        #expect(relay.core.allocationCount(on: slot) == 0)
        #expect(old.allocate().first?.contains("allocate 300") == true)
        relay.core.listen(on: slot, at: Relay.Listener.ipv4.address)
        #expect(new.allocate().first == "open first 203.0.113.1:50000")
    }

    @Test("a listener that is gone drops what comes; every way in which an allocation ends is counted")
    func gone() {
        let slot = Relay.Listener.ipv4.slot
        let clients = [client(Self.a), client(Self.b)]
        #expect(clients[0].allocate().count == 3)
        // Refused after it was begun: no port is left.
        #expect(clients[1].allocate().last?.contains("508") == true)
        #expect(relay.core.allocationCount(on: slot) == 1)
        _ = relay.pass(seconds: 601)
        #expect(relay.core.allocationCount(on: slot) == 0)
        #expect(clients[0].allocate().count == 3)
        _ = relay.retire()
        #expect(relay.core.allocationCount(on: slot) == 0)
        relay.core.forget(slot)
        #expect(clients[0].refresh() == ["dropped"])
    }
}
