import STUN
import Testing

@testable import RelayCore

/// EVEN-PORT and RESERVATION-TOKEN, RFC 8656 section 7.2.
@Suite("Even ports and reservations")
struct EvenPortTests {
    static let address: TransportAddress = "198.51.100.1:5000"
    static let other: TransportAddress = "198.51.100.2:5000"

    /// A relay with one pair of ports and an allocation on the even one, the odd one reserved.
    private func reserved(_ configuration: Configuration = .onePair) -> (Relay, Client, Client) {
        let relay = Relay(configuration)
        let clients = (Client.greeted(relay, Self.address), Client.greeted(relay, Self.other))
        #expect(
            clients.0.allocate(.evenPort(reserving: true)) == [
                "open first 203.0.113.1:50000", "open reserved 203.0.113.1:50001",
                "-> \(Self.address): allocate success relayed=203.0.113.1:50000 lifetime=600 token "
                    + "mapped=\(Self.address) signed-sha1",
                "note created \(Self.address) 203.0.113.1:3478 alice 203.0.113.1:50000 600s",
            ])
        return (relay, clients.0, clients.1)
    }

    private func token(_ relay: Relay) -> Field { .token(relay.latestToken ?? 0) }

    static let claimed = [
        "open claimed 203.0.113.1:50001",
        "-> \(other): allocate success relayed=203.0.113.1:50001 lifetime=600 mapped=\(other) signed-sha1",
        "note created \(other) 203.0.113.1:3478 alice 203.0.113.1:50001 600s",
    ]

    @Test("EVEN-PORT without reservation takes even ports only, and reserves nothing")
    func even() {
        let relay = Relay()
        for port in UInt16(1)...4 {
            let client = Client.greeted(relay, TransportAddress(ip("198.51.100.1"), port: port))
            let seen = client.allocate(.evenPort(reserving: false))
            if port == 4 {
                #expect(seen == ["note exhausted ipv4", "-> \(client.address): allocate 508 signed-sha1"])
            } else {
                #expect(seen.count == 3 && !seen[1].contains("token"))
                #expect(relay.sockets.values.allSatisfy { $0.port % 2 == 0 })
            }
        }
        #expect(relay.host.reserved.isEmpty)
    }

    @Test("the token gives the sibling to the same user on another five-tuple, once")
    func token() {
        let (relay, first, second) = reserved()
        let token = token(relay)
        let bob = Client.greeted(relay, "198.51.100.3:5000", user: "bob")
        #expect(bob.allocate(token) == ["-> \(bob.address): allocate 508 signed-sha1"])
        #expect(
            second.allocate(.token(relay.latestToken.map { $0 ^ 1 } ?? 0)) == [
                "-> \(Self.other): allocate 508 signed-sha1"
            ])
        #expect(first.allocate(token) == ["-> \(Self.address): allocate 437 signed-sha1"])
        let request = second.request(.allocate, [.udp, token])
        #expect(second.deliver(request) == Self.claimed)
        #expect(second.deliver(request) == [Self.claimed[1]])
        let third = Client.greeted(relay, "198.51.100.4:5000")
        #expect(third.allocate(token) == ["-> \(third.address): allocate 508 signed-sha1"])

        // Nothing happens when the 30 s are over, and both ports return with their allocations.
        #expect(relay.pass(seconds: 31) == [])
        second.refresh(.lifetime(0))
        first.refresh(.lifetime(0))
        #expect(relay.host.bound.isEmpty)
        #expect(third.allocate(.evenPort(reserving: true)).count == 4)
    }

    @Test("LIFETIME and DONT-FRAGMENT may stand beside the token")
    func beside() {
        let (relay, _, second) = reserved()
        #expect(
            second.allocate(token(relay), .lifetime(1000), .dontFragment)[1]
                == Self.claimed[1].replacing("=600", with: "=1000"))
    }

    @Test("another worker redeems the token")
    func otherWorker() {
        let configuration = Configuration.onePair
        let host = Relay.Host(configuration)
        let relays = [0, 1].map { Relay(configuration, host: host, worker: $0, of: 2, seed: UInt64($0)) }
        let first = Client.greeted(relays[0], Self.address)
        let second = Client.greeted(relays[1], Self.other)
        #expect(first.allocate(.evenPort(reserving: true)).count == 4)
        #expect(second.allocate(token(relays[0])) == Self.claimed)
        #expect(relays[0].pass(seconds: 31) == [])
        #expect(relays[0].core.reservations.count == 0)

        // The port belongs to the second worker's allocation: the first one finds it busy.
        let third = Client.greeted(relays[0], "198.51.100.4:5000")
        #expect(
            third.allocate() == [
                "open first 203.0.113.1:50001", "refused", "note exhausted ipv4",
                "-> \(third.address): allocate 508 signed-sha1",
            ])
        second.refresh(.lifetime(0))
        first.refresh(.lifetime(0))
        #expect(host.bound.isEmpty)
        _ = relays[0].pass(seconds: 30)
        #expect(third.allocate(.evenPort(reserving: true)).count == 4)
        #expect(
            Client.greeted(relays[1], "198.51.100.5:5000").allocate(token(relays[0]))[0]
                == "open claimed 203.0.113.1:50001")
    }

    @Test("an unclaimed sibling is closed after 30 s and its port is free")
    func lapse() {
        let (relay, _, second) = reserved()
        let token = token(relay)
        #expect(second.allocate() == ["note exhausted ipv4", "-> \(Self.other): allocate 508 signed-sha1"])
        #expect(relay.pass(milliseconds: 29_999) == [])
        #expect(relay.core.reservations.count == 1)
        #expect(relay.pass(milliseconds: 257) == ["close reserved 203.0.113.1:50001"])
        #expect(second.allocate(token) == ["-> \(Self.other): allocate 508 signed-sha1"])
        #expect(second.allocate()[0] == "open first 203.0.113.1:50001")
    }

    @Test("a token is good for 30 s less a nanosecond, even before the timer fires")
    func edge() {
        for (milliseconds, isGood) in [(29_999, true), (30_000, false)] as [(UInt64, Bool)] {
            let (relay, _, second) = reserved()
            relay.now = relay.now.advanced(byMilliseconds: milliseconds)
            #expect((second.allocate(token(relay)) == Self.claimed) == isGood)
        }
    }

    @Test("the sibling outlives the allocation that reserved it, for its 30 s")
    func releasedFirst() {
        let (relay, first, second) = reserved()
        first.refresh(.lifetime(0))
        #expect(second.allocate(token(relay)) == Self.claimed)
        _ = relay.pass(seconds: 700)
        #expect(relay.isEmpty && relay.host.bound.isEmpty)
    }

    @Test("a pair whose sibling is busy is no pair: the first half goes back and another pair is tried")
    func busySibling() {
        let relay = Relay(.script.with { $0.relayPorts = 50_000...50_003 })
        let client = Client.greeted(relay, Self.address)
        relay.refusals = [nil, .addressInUse]
        let seen = client.allocate(.evenPort(reserving: true))
        #expect(
            seen.map { String($0.prefix(9)) } == [
                "open firs", "open rese", "refused", "close 203", "open firs", "open rese", "-> 198.51", "note crea",
            ])
        let (first, second) = (relay.sockets.values.map(\.port), relay.host.reserved.map(\.port))
        #expect(second == first.map { $0 + 1 })
        #expect(relay.host.bound.count == 2)
        // Of the first pair only the even half is free now.
        let other = Client.greeted(relay, Self.other)
        #expect(other.allocate().count == 3)
        #expect(Client.greeted(relay, "198.51.100.3:1").allocate().last?.contains("508") == true)
    }

    @Test("a pair whose first half is busy gives the other half back")
    func busyFirst() {
        let relay = Relay(.onePair)
        let client = Client.greeted(relay, Self.address)
        relay.refusals = [.addressInUse]
        #expect(
            client.allocate(.evenPort(reserving: true)) == [
                "open first 203.0.113.1:50000", "refused", "note exhausted ipv4",
                "-> \(Self.address): allocate 508 signed-sha1",
            ])
        #expect(client.allocate()[0] == "open first 203.0.113.1:50001")
    }

    @Test("a sibling that cannot be bound at all is 508, and nothing of it stays")
    func failedSibling() {
        let relay = Relay(.onePair)
        let client = Client.greeted(relay, Self.address)
        relay.refusals = [nil, .failed("no descriptor left")]
        #expect(
            client.allocate(.evenPort(reserving: true)) == [
                "open first 203.0.113.1:50000", "open reserved 203.0.113.1:50001", "refused",
                "close 203.0.113.1:50000", "note refused 203.0.113.1:50001 no descriptor left",
                "-> \(Self.address): allocate 508 signed-sha1",
            ])
        #expect(relay.isEmpty && relay.host.bound.isEmpty)
        #expect(client.allocate(.evenPort(reserving: true)).count == 4)
    }

    @Test("a reserved socket that is gone is 508")
    func goneSibling() {
        let (relay, _, second) = reserved()
        relay.refusals = [.failed("gone")]
        #expect(
            second.allocate(token(relay)) == [
                "open claimed 203.0.113.1:50001", "refused", "note refused 203.0.113.1:50001 gone",
                "-> \(Self.other): allocate 508 signed-sha1",
            ])
    }

    @Test("reservations work where there is only IPv6")
    func ipv6Only() {
        let relay = Relay(.onePair.with { $0.relayAddresses.removeFirst() })
        let client = Client.greeted(relay, Self.address)
        #expect(client.allocate(.family(2), .evenPort(reserving: true)).count == 4)
        let other = Client.greeted(relay, Self.other)
        #expect(
            other.allocate(token(relay))[1]
                == Self.claimed[1].replacing("203.0.113.1:50001", with: "[2001:db8:1::1]:50001"))
    }

    @Test("a bind that is held back beyond the 30 s still gets the sibling it claimed in time")
    func slowClaim() {
        let (relay, first, second) = reserved()
        relay.holdsBinds = true
        #expect(second.allocate(token(relay)) == ["open claimed 203.0.113.1:50001"])
        #expect(relay.pass(seconds: 31) == [])
        #expect(relay.answerHeld() == Array(Self.claimed.dropFirst()))
        second.refresh(.lifetime(0))
        first.refresh(.lifetime(0))
        #expect(relay.host.bound.isEmpty)
        #expect(first.allocate(.evenPort(reserving: true)).count == 4)
    }
}
