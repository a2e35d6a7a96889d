import STUN
import Testing

@testable import RelayCore

@Suite("A new configuration under living allocations")
struct ReconfigureTests {
    static let address: TransportAddress = "198.51.100.1:5000"
    static let challenge = "realm=relayd nonce algorithms"
    static let peer: TransportAddress = "192.0.2.9:9000"
    let relay = Relay(.onePort)

    private func allocated(user: String = "alice", password: String? = nil) -> Client {
        let client = Client.greeted(relay, Self.address, user: user, password: password)
        #expect(client.allocate().count == 3)
        return client
    }

    @Test("what does not concern an allocation leaves it alone, nonce included")
    func untouched() {
        let client = allocated()
        client.bind(0x4000, to: Self.peer)
        #expect(relay.reconfigure(.onePort.with { $0.allocationsPerUser = 7 }) == [])
        #expect(client.say("hello", on: 0x4000) == ["forward 203.0.113.1:50000 -> \(Self.peer): hello"])
        #expect(client.refresh() == ["-> \(Self.address): refresh success lifetime=600 signed-sha1"])
        #expect(
            client.permit(Self.peer) == ["renew #0 300s", "-> \(Self.address): permission success signed-sha1"])
        #expect(client.refresh(.lifetime(0)).count == 4)
        #expect(relay.host.bound.isEmpty)
    }

    @Test("a removed user is refused everything, and the allocation lapses by itself")
    func removedUser() {
        let client = allocated()
        client.bind(0x4000, to: Self.peer)
        _ = relay.reconfigure(.onePort.with { $0.users.removeAll { $0.name == "alice" } })
        #expect(client.refresh() == ["-> \(Self.address): refresh 401 \(Self.challenge)"])
        #expect(client.permit(Self.peer) == ["-> \(Self.address): permission 401 \(Self.challenge)"])
        #expect(client.bind(0x4000, to: Self.peer) == ["-> \(Self.address): channel 401 \(Self.challenge)"])
        #expect(client.say("hello", on: 0x4000).count == 1)
        #expect(relay.core.counters.allocations == 1 && relay.core.counters.channels == 1)
        _ = relay.pass(seconds: 301)
        #expect(client.say("hello", on: 0x4000) == ["dropped"])
        _ = relay.pass(seconds: 300)
        #expect(relay.core.counters.allocations == 0)
        #expect(relay.isEmpty)
    }

    @Test("a user who comes back is let in again")
    func restoredUser() {
        let client = allocated()
        _ = relay.reconfigure(.onePort.with { $0.users = [] })
        #expect(client.refresh() == ["-> \(Self.address): refresh 401 \(Self.challenge)"])
        _ = relay.reconfigure(.onePort)
        client.learnNonce()
        #expect(client.refresh() == ["-> \(Self.address): refresh success lifetime=600 signed-sha1"])
    }

    @Test("with a new password the old one is refused, and the new one goes on with the allocation")
    func newPassword() {
        let client = allocated()
        _ = relay.reconfigure(.onePort.with { $0.users = [StaticUser(name: "alice", password: "new")] })
        #expect(client.refresh() == ["-> \(Self.address): refresh 401 \(Self.challenge)"])
        let renewed = Client.greeted(relay, Self.address, password: "new")
        for _ in 0..<2 {
            #expect(renewed.refresh() == ["-> \(Self.address): refresh success lifetime=600 signed-sha1"])
        }
        #expect(client.refresh() == ["-> \(Self.address): refresh 401 \(Self.challenge)"])
        // Two of two allocations: the count by user has not moved.
        #expect(renewed.refresh(.lifetime(0)).count == 3)
    }

    @Test("a removed secret locks out what it opened; one that is added lets in; an expiry still has no say")
    func secrets() {
        let credential = TimeLimitedCredential(user: "carol", expiresAtSeconds: 1_800_000_100, secret: "north")
        _ = relay.reconfigure(.onePort.with { $0.authSecrets = ["north", "south"] })
        let client = allocated(user: credential.username, password: credential.password)
        _ = relay.pass(seconds: 200)
        _ = relay.reconfigure(.onePort.with { $0.authSecrets = ["north"] })
        #expect(client.refresh() == ["-> \(Self.address): refresh success lifetime=600 signed-sha1"])
        _ = relay.reconfigure(.onePort.with { $0.authSecrets = ["south"] })
        #expect(client.refresh() == ["-> \(Self.address): refresh 401 \(Self.challenge)"])
    }

    @Test("a name that a secret proves as it was proved by a password counts for whom it was counted")
    func quotaName() {
        let name = "1800000100:carol"
        let credential = TimeLimitedCredential(user: "carol", expiresAtSeconds: 1_800_000_100, secret: "north")
        #expect(credential.username == name)
        _ = relay.reconfigure(.onePort.with { $0.users.append(StaticUser(name: name, password: credential.password)) })
        let client = allocated(user: name, password: credential.password)
        _ = relay.reconfigure(.onePort.with { $0.authSecrets = ["north"] })
        client.greet()
        #expect(client.refresh() == ["-> \(Self.address): refresh success lifetime=600 signed-sha1"])
        // Ends without a trap: the quota is given back to the name that took it.
        #expect(client.refresh(.lifetime(0)).count == 3)
    }

    @Test("a smaller quota ends nothing and refuses what is new, also in the sum of all users")
    func quotas() {
        let relay = Relay(.script)
        let clients = (1...3).map { Client.greeted(relay, TransportAddress(ip("198.51.100.1"), port: $0)) }
        #expect(clients[0].allocate().count == 3 && clients[1].allocate().count == 3)
        _ = relay.reconfigure(.script.with { $0.allocationsPerUser = 1 })
        #expect(clients[0].refresh().first?.contains("refresh success") == true)
        #expect(clients[2].allocate().contains { $0.contains("allocate 486") })
        _ = relay.reconfigure(.script.with { $0.allocationsTotal = 2 })
        let refused = clients[2].allocate()
        #expect(
            refused.contains { $0.contains("allocate 508") } && refused.contains { $0.contains("allocations-total") })
        _ = clients[0].refresh(.lifetime(0))
        #expect(clients[2].allocate().count == 3)
    }

    @Test("peers that the new rules deny are cut off at once, and only they")
    func deniedPeers() {
        let client = allocated()
        let other: TransportAddress = "192.0.2.130:1"
        client.bind(0x4000, to: Self.peer)
        client.bind(0x4001, to: other)
        client.permit("192.0.2.9:1", "192.0.2.131:1")
        #expect(relay.core.counters.permissions == 3)
        let rules = PeerPolicy(profile: .public, allow: cidrs("192.0.2.128/25"), deny: [])
        let strict = Configuration.onePort.with { $0.peerPolicy = rules }
        #expect(relay.reconfigure(strict) == ["remove #0"])
        #expect(relay.core.counters.permissions == 2 && relay.core.counters.channels == 1)
        #expect(client.say("hello", on: 0x4000) == ["dropped"])
        #expect(client.indicate("hello", to: Self.peer) == [])
        #expect(relay.deliver("hello", to: "203.0.113.1:50000", from: Self.peer) == ["dropped"])
        #expect(client.say("hello", on: 0x4001) == ["forward 203.0.113.1:50000 -> \(other): hello"])
        #expect(client.bind(0x4000, to: Self.peer).contains { $0.contains("channel 403") })
        // Open again: the same channel number takes up its peer.
        _ = relay.reconfigure(.onePort)
        #expect(client.bind(0x4000, to: Self.peer).contains { $0.contains("channel success") })
        #expect(client.say("hello", on: 0x4000) == ["forward 203.0.113.1:50000 -> \(Self.peer): hello"])
        // The timer of the permission that was cut off finds nothing of its own.
        _ = relay.pass(seconds: 299)
        #expect(relay.core.counters.permissions == 3)
        #expect(client.refresh(.lifetime(0)).count == 5)
        _ = relay.pass(seconds: 1000)
        #expect(relay.isEmpty)
    }

    @Test("a nonce stays good until the new lifetime is over; realm and relay ports stay")
    func nonces() {
        let client = allocated()
        _ = relay.pass(seconds: 100)
        let changed = Configuration.onePort.with {
            $0.nonceLifetimeSeconds = 120
            $0.realm = "elsewhere"
            $0.relayPorts = 60_000...60_000
        }
        _ = relay.reconfigure(changed)
        #expect(client.refresh() == ["-> \(Self.address): refresh success lifetime=600 signed-sha1"])
        _ = relay.pass(seconds: 21)
        #expect(client.refresh() == ["-> \(Self.address): refresh 438 \(Self.challenge)"])
        client.learnNonce()
        _ = client.refresh(.lifetime(0))
        #expect(client.allocate().first == "open first 203.0.113.1:50000")
    }

    @Test("another rate of answers holds at once")
    func rate() {
        _ = relay.reconfigure(.onePort.with { $0.unauthenticatedRate = 1 })
        let client = Client(relay, Self.address)
        let answers = (0..<10).map { _ in client.greet().count }
        #expect(answers == [1, 1, 0, 0, 0, 0, 0, 0, 0, 0])
    }

    @Test("draining: the living go on, the new are sent elsewhere or told 508, and a reload does not open again")
    func draining() {
        let client = allocated()
        relay.core.drain(.redirect(ipv4: "198.51.100.200:3478", ipv6: nil))
        #expect(client.refresh() == ["-> \(Self.address): refresh success lifetime=600 signed-sha1"])
        #expect(client.bind(0x4000, to: Self.peer).contains { $0.contains("channel success") })
        let late = Client.greeted(relay, "198.51.100.2:5000", user: "bob")
        #expect(
            late.allocate() == [
                "-> 198.51.100.2:5000: allocate 300 alternate=198.51.100.200:3478 signed-sha1"
            ])
        _ = relay.reconfigure(.onePort)
        let ipv6 = Client.greeted(relay, "[2001:db8:2::1]:5000", user: "bob")
        #expect(ipv6.allocate() == ["-> [2001:db8:2::1]:5000: allocate 508 signed-sha1"])
        _ = client.refresh(.lifetime(0))
        #expect(client.allocate().first?.contains("allocate 300") == true)
    }
}
