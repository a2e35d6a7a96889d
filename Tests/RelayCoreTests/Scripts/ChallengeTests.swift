import STUN
import Testing

@testable import RelayCore

/// RFC 8489 section 9.2.4, the server's side of the long-term credential mechanism.
@Suite("Long-term credentials")
struct ChallengeTests {
    static let address: TransportAddress = "198.51.100.1:5000"
    static let challenge = "realm=relayd nonce algorithms"
    let relay = Relay(.onePort)

    private func refused(_ client: Client, _ code: String, _ sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(client.allocate() == ["-> \(client.address): allocate \(code)"], sourceLocation: sourceLocation)
        #expect(relay.isEmpty, sourceLocation: sourceLocation)
    }

    @Test(
        "without credentials every method but Binding is 401, in 80 bytes",
        arguments: [
            (STUN.Method.allocate, "allocate"), (.refresh, "refresh"), (.createPermission, "permission"),
            (.channelBind, "channel"),
        ])
    func unauthenticated(_ method: STUN.Method, _ name: String) {
        let client = Client(relay, Self.address)
        let request = encode(.request, method, client.nextTransaction(), [.udp])
        #expect(client.deliver(request) == ["-> 198.51.100.1:5000: \(name) 401 \(Self.challenge)"])
        #expect(relay.sent.map(\.bytes.count) == [80])
        #expect(relay.latestNonce.map { String(decoding: $0.prefix(9), as: UTF8.self) } == "obMatJos2")
        #expect(relay.latestNonce?.count == 24)
        #expect(relay.isEmpty)
    }

    @Test("every way to sign is understood and answered in kind", arguments: Credentials.Scheme.all)
    func schemes(_ scheme: Credentials.Scheme) {
        let client = Client.greeted(relay, Self.address, scheme)
        #expect(
            client.allocate() == [
                "open first 203.0.113.1:50000",
                "-> \(Self.address): allocate success relayed=203.0.113.1:50000 lifetime=600 mapped=\(Self.address) "
                    + "signed-\(scheme.kind)",
                "note created \(Self.address) 203.0.113.1:3478 alice 203.0.113.1:50000 600s",
            ])
        #expect(client.refresh() == ["-> \(Self.address): refresh success lifetime=600 signed-\(scheme.kind)"])
    }

    @Test("MESSAGE-INTEGRITY-SHA256 may be truncated to 16, 20, 24 or 28 bytes, no other size counts")
    func truncation() {
        for byteCount in [16, 20, 24, 28, 32] {
            let client = Client.greeted(relay, Self.address, .modern)
            client.credentials.signatures = [(.sha256, byteCount)]
            #expect(client.refresh() == ["-> \(Self.address): refresh 437 signed-sha256"])
        }
        for byteCount in [0, 4, 12, 15, 36] {
            let client = Client.greeted(relay, Self.address, .modern)
            client.credentials.signatures = []
            let request = encode(
                .request, .refresh, client.nextTransaction(), [], signedWith: client.credentials,
                then: [.raw(0x001C, [UInt8](repeating: 0, count: byteCount))])
            #expect(client.deliver(request) == ["-> \(Self.address): refresh 401 \(Self.challenge)"])
        }
    }

    @Test("of both integrity attributes the SHA-256 one counts")
    func bothAttributes() {
        let client = Client.greeted(relay, Self.address, .modern)
        client.credentials.signatures = [(.sha1, 20), (.sha256, 32)]
        #expect(client.refresh() == ["-> \(Self.address): refresh 437 signed-sha256"])
        client.credentials.signatures = [(.sha1, 20)]
        let request = encode(
            .request, .refresh, client.nextTransaction(), [], signedWith: client.credentials,
            then: [.raw(0x001C, [UInt8](repeating: 7, count: 32))])
        #expect(client.deliver(request) == ["-> \(Self.address): refresh 401 \(Self.challenge)"])
    }

    @Test("attributes after the integrity are not there")
    func trailing() {
        let client = Client.greeted(relay, Self.address)
        let request = encode(
            .request, .allocate, client.nextTransaction(), [.udp], signedWith: client.credentials,
            then: [.lifetime(3600), .raw(0x7001, []), .evenPort(reserving: true)], fingerprint: true)
        #expect(client.deliver(request).contains { $0.contains("lifetime=600 mapped=") && !$0.contains("token") })
    }

    @Test("a signature without a name, a realm or a nonce is 400")
    func incomplete() {
        for remove in [
            { $0.username = nil }, { $0.realm = nil }, { $0.nonce = nil },
        ] as [(inout Credentials) -> Void] {
            let client = Client.greeted(relay, Self.address)
            remove(&client.credentials)
            refused(client, "400")
        }
    }

    @Test("bidding the password algorithm down is 400")
    func bidDown() {
        for tamper in [
            { $0.offered = nil }, { $0.chosen = nil }, { $0.offered = [0, 1, 0, 0] },
            { $0.offered = [0, 1, 0, 0, 0, 2, 0, 0] }, { $0.offered = [] }, { $0.chosen = 3 }, { $0.chosen = 0 },
            { $0.offered = [0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0] },
        ] as [(inout Credentials) -> Void] {
            let client = Client.greeted(relay, Self.address, .modern)
            tamper(&client.credentials)
            refused(client, "400")
        }
    }

    @Test("a wrong password, name, realm, hash or byte is 401")
    func wrong() {
        refused(.greeted(relay, Self.address, user: "alice", password: "guess"), "401 \(Self.challenge)")
        refused(.greeted(relay, Self.address, user: "mallory"), "401 \(Self.challenge)")
        refused(.greeted(relay, Self.address, user: "mallory", .all[3]), "401 \(Self.challenge)")
        let elsewhere = Client.greeted(relay, Self.address)
        let nonce = elsewhere.credentials.nonce
        elsewhere.credentials = Credentials(username: "alice", password: "alice's secret", realm: "elsewhere")
        elsewhere.credentials.nonce = nonce
        refused(elsewhere, "401 \(Self.challenge)")

        let client = Client.greeted(relay, Self.address)
        let transaction = client.nextTransaction()
        var request = encode(
            .request, .allocate, transaction, [.udp, .lifetime(3600)], signedWith: client.credentials)
        request[33] ^= 0x10
        #expect(client.deliver(request) == ["-> \(Self.address): allocate 401 \(Self.challenge)"])
        #expect(relay.isEmpty)
    }

    @Test("USERHASH is offered in the nonce, but not beside secrets, whose names it would hide")
    func anonymity() {
        func features(_ configuration: Configuration) -> String? {
            let relay = Relay(configuration)
            Client(relay, Self.address).greet()
            return relay.latestNonce.map { String(decoding: $0[9..<13], as: UTF8.self) }
        }
        // RFC 8489 section 18.1, bits from the left: password algorithms, then username anonymity.
        #expect(features(.script) == "wAAA")
        #expect(features(Configuration.script.with { $0.authSecrets = ["north"] }) == "gAAA")
    }

    @Test("an allocation answers to nobody but the user who made it: 441")
    func wrongCredentials() {
        let alice = Client.greeted(relay, Self.address)
        alice.allocate()
        let bob = Client.greeted(relay, Self.address, user: "bob")
        #expect(bob.refresh(.lifetime(0)) == ["-> \(Self.address): refresh 441 signed-sha1"])
        #expect(bob.permit("192.0.2.9:9000") == ["-> \(Self.address): permission 441 signed-sha1"])
        #expect(bob.bind(0x4000, to: "192.0.2.9:9000") == ["-> \(Self.address): channel 441 signed-sha1"])
        #expect(bob.allocate() == ["-> \(Self.address): allocate 437 signed-sha1"])
        #expect(alice.refresh() == ["-> \(Self.address): refresh success lifetime=600 signed-sha1"])
    }

    @Test("a client may change its way to sign while its allocation lives")
    func changedScheme() {
        Client.greeted(relay, Self.address).allocate()
        for scheme in Credentials.Scheme.all {
            let client = Client.greeted(relay, Self.address, scheme)
            #expect(client.refresh() == ["-> \(Self.address): refresh success lifetime=600 signed-\(scheme.kind)"])
        }
    }
}
