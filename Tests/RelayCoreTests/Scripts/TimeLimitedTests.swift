import STUN
import Testing

@testable import RelayCore

@Suite("Time-limited credentials")
struct TimeLimitedTests {
    static let address: TransportAddress = "198.51.100.1:5000"
    static let challenge = "realm=relayd nonce algorithms"
    /// The script's wall clock begins at 1,800,000,000 s.
    let relay = Relay(.onePort.with { $0.authSecrets = ["north", "south"] })

    private func client(_ credential: TimeLimitedCredential, at address: TransportAddress = address) -> Client {
        .greeted(relay, address, user: credential.username, password: credential.password)
    }

    @Test("the password is what coturn's use-auth-secret makes")
    func password() {
        let credential = TimeLimitedCredential(user: "carol", expiresAtSeconds: 1_800_000_100, secret: "north")
        // printf 1800000100:carol | openssl dgst -sha1 -hmac north -binary | base64
        #expect(credential.username == "1800000100:carol")
        #expect(credential.password == "dK3ibov6DQWS69FShqca8e4Akw4=")
        #expect(TimeLimitedCredential(user: "", expiresAtSeconds: 7, secret: "north").username == "7")
    }

    @Test("any of the secrets opens the door, any other secret does not", arguments: ["north", "south", "west"])
    func secrets(_ secret: String) {
        let client = client(TimeLimitedCredential(user: "carol", expiresAtSeconds: 1_800_000_100, secret: secret))
        let seen = client.allocate()
        if secret == "west" {
            #expect(seen == ["-> \(Self.address): allocate 401 \(Self.challenge)"])
        } else {
            #expect(seen.count == 3 && seen[2].contains("1800000100:carol"))
        }
    }

    @Test("static users stay beside the secrets, USERHASH included")
    func staticUsers() {
        for scheme in Credentials.Scheme.all {
            let client = Client.greeted(relay, Self.address, scheme)
            #expect(client.refresh() == ["-> \(Self.address): refresh 437 signed-\(scheme.kind)"])
        }
    }

    @Test("an expired credential opens nothing; it goes on serving what it opened before")
    func expiry() {
        let credential = TimeLimitedCredential(user: "carol", expiresAtSeconds: 1_800_000_100, secret: "south")
        let client = client(credential)
        let allocate = client.request(.allocate, [.udp])
        _ = client.deliver(allocate)
        let answer = relay.sent
        _ = relay.pass(seconds: 100)

        #expect(client.deliver(allocate).count == 1)
        #expect(relay.sent == answer)
        #expect(client.refresh() == ["-> \(Self.address): refresh success lifetime=600 signed-sha1"])
        #expect(client.permit("192.0.2.9:9000") == ["-> \(Self.address): permission success signed-sha1"])
        let modern = Client.greeted(
            relay, Self.address, user: credential.username, password: credential.password, .modern)
        #expect(modern.refresh() == ["-> \(Self.address): refresh success lifetime=600 signed-sha256"])
        client.credentials = Credentials(username: credential.username, password: "guess")
        client.learnNonce()
        #expect(client.refresh() == ["-> \(Self.address): refresh 401 \(Self.challenge)"])

        #expect(self.client(credential).refresh(.lifetime(0)).count == 3)
        #expect(self.client(credential).allocate() == ["-> \(Self.address): allocate 401 \(Self.challenge)"])
    }

    @Test("the expiry is the first second that is too late")
    func edge() {
        let good = TimeLimitedCredential(user: "carol", expiresAtSeconds: 1_800_000_001, secret: "north")
        #expect(client(good).refresh() == ["-> \(Self.address): refresh 437 signed-sha1"])
        let late = TimeLimitedCredential(user: "carol", expiresAtSeconds: 1_800_000_000, secret: "north")
        #expect(client(late).refresh() == ["-> \(Self.address): refresh 401 \(Self.challenge)"])
    }

    @Test("names that carry no expiry are nobody's", arguments: [":carol", "carol", "18000001x0:carol", "-1:carol"])
    func noExpiry(_ name: String) {
        let credential = TimeLimitedCredential(user: "carol", expiresAtSeconds: 1_800_000_100, secret: "north")
        let client = Client.greeted(relay, Self.address, user: name, password: credential.password)
        #expect(client.refresh() == ["-> \(Self.address): refresh 401 \(Self.challenge)"])
    }

    @Test("the quota counts the user behind the expiry, and a bare expiry for itself")
    func quota() {
        let relay = Relay(
            .script.with {
                $0.authSecrets = ["north"]
                $0.allocationsPerUser = 1
            })
        func code(_ user: String, _ expiry: UInt64, _ address: TransportAddress) -> Bool {
            let credential = TimeLimitedCredential(user: user, expiresAtSeconds: expiry, secret: "north")
            return Client.greeted(relay, address, user: credential.username, password: credential.password)
                .allocate().contains { $0.contains("allocate success") }
        }
        #expect(code("carol", 1_800_000_100, "198.51.100.1:1"))
        #expect(!code("carol", 1_800_000_200, "198.51.100.1:2"))
        #expect(code("dave", 1_800_000_100, "198.51.100.1:3"))
        #expect(code("", 1_800_000_100, "198.51.100.1:4"))
        #expect(!code("", 1_800_000_100, "198.51.100.1:5"))
        #expect(code("", 1_800_000_101, "198.51.100.1:6"))
    }
}
