import STUN
import Testing

@testable import RelayCore

@Suite("Nonces")
struct NonceTests {
    static let address: TransportAddress = "198.51.100.1:5000"
    static let stale = "refresh 438 realm=relayd nonce algorithms"
    static let good = "refresh 437 signed-sha1"

    private func refresh(_ client: Client) -> String {
        let seen = client.refresh()
        return seen.count == 1
            ? String(seen[0].drop { $0 != " " }.dropFirst().drop { $0 != " " }.dropFirst()) : "\(seen)"
    }

    @Test("a nonce is good for its lifetime; 438 brings a fresh one")
    func lifetime() {
        let relay = Relay(.onePort.with { $0.nonceLifetimeSeconds = 60 })
        let client = Client.greeted(relay, Self.address)
        #expect(relay.pass(seconds: 60) == [])
        #expect(refresh(client) == Self.good)
        #expect(relay.pass(seconds: 1) == [])
        #expect(refresh(client) == Self.stale)
        client.learnNonce()
        #expect(refresh(client) == Self.good)
    }

    @Test("a nonce is good for the transport address that it was given to, and no other")
    func otherClient() {
        let relay = Relay(.onePort)
        let client = Client.greeted(relay, Self.address)
        for other in ["198.51.100.1:5001", "198.51.100.2:5000", "[2001:db8::5]:5000"] as [TransportAddress] {
            let thief = Client(relay, other)
            thief.credentials.nonce = client.credentials.nonce
            #expect(refresh(thief) == Self.stale)
        }
        #expect(refresh(client) == Self.good)
    }

    @Test("a nonce of another relay, or with any bit changed, is stale")
    func forged() {
        let relay = Relay(.onePort)
        let client = Client.greeted(relay, Self.address)
        guard let nonce = client.credentials.nonce else {
            Issue.record("no nonce")
            return
        }
        for index in nonce.indices {
            for bit in 0..<8 {
                client.credentials.nonce?[index] = nonce[index] ^ 1 << UInt8(bit)
                #expect(refresh(client) == Self.stale)
            }
            client.credentials.nonce = nonce
        }
        for other in [[], Array(nonce.dropLast()), nonce + nonce, [UInt8](repeating: 0xFF, count: 24)] {
            client.credentials.nonce = other
            #expect(refresh(client) == Self.stale)
        }
        let stranger = Client.greeted(Relay(.onePort, seed: 2), Self.address)
        client.credentials.nonce = stranger.credentials.nonce
        #expect(refresh(client) == Self.stale)
        client.credentials.nonce = nonce
        #expect(refresh(client) == Self.good)
    }

    @Test("the key changes every eight hours and the one before stays good as long; no longer lifetime is possible")
    func rotation() {
        let relay = Relay(.onePort.with { $0.nonceLifetimeSeconds = 100_000 })
        _ = relay.pass(seconds: 8 * 3600 - 10)
        let client = Client.greeted(relay, Self.address)
        _ = relay.pass(seconds: 20)
        let nonce = Client.greeted(relay, "198.51.100.2:5000").credentials.nonce
        #expect(nonce != client.credentials.nonce)
        #expect(refresh(client) == Self.good)
        _ = relay.pass(seconds: 8 * 3600 - 20)
        #expect(refresh(client) == Self.good)
        _ = relay.pass(seconds: 1)
        #expect(refresh(client) == Self.stale)
    }

    @Test("a nonce does not come back when its 16-bit second comes round, however quiet it was meanwhile")
    func wrap() {
        for seconds in [65_536, 65_536 + 30, 2 * 65_536] as [UInt64] {
            let relay = Relay(.onePort)
            let client = Client.greeted(relay, Self.address)
            _ = relay.pass(seconds: seconds)
            #expect(refresh(client) == Self.stale)
            client.learnNonce()
            #expect(refresh(client) == Self.good)
        }
    }
}
