import Foundation
import RelayCore
import Testing

@testable import relayd

@Suite("relayd credentials")
struct CredentialTests {
    // Computed with OpenSSL: printf %s USERNAME | openssl dgst -sha1 -hmac SECRET -binary | base64.
    private static let vectors: [(user: String, expiry: UInt64, secret: String, username: String, password: String)] = [
        ("alice", 1795248000, "north", "1795248000:alice", "CTKCxA8XhlFr+zxXDLO+1WRwAfs="),
        ("", 1795248000, "north", "1795248000", "HOEa0z0j0wjxle3oaSNDWUbtabY="),
        ("bob:with:colons", 1, "logen", "1:bob:with:colons", "klqytOdNFHqsqi8JBQuq3oFcy94="),
        ("grüße", 4102444800, "a secret with spaces", "4102444800:grüße", "n4krci0KSRx9rkyOoxbJ5BPtDwY="),
    ]

    @Test("Passwords are base64 of HMAC-SHA1 over expiry:user", arguments: vectors)
    func vector(user: String, expiry: UInt64, secret: String, username: String, password: String) {
        let credential = TimeLimitedCredential(user: user, expiresAtSeconds: expiry, secret: secret)
        #expect(credential.username == username)
        #expect(credential.password == password)
    }

    @Test(
        "Lifetimes as people write them",
        arguments: [
            ("3600", 3600), ("90s", 90), ("15m", 900), ("24h", 86_400), ("7d", 604_800), ("1", 1),
        ] as [(String, UInt64)])
    func lifetimes(text: String, seconds: UInt64) {
        #expect(Lifetime(argument: text)?.seconds == seconds)
    }

    @Test(
        "What is no lifetime is refused",
        arguments: ["", "0", "-1", "1.5h", "h", "24 h", "24x", "99999999999999999999", "18446744073709551615d"])
    func noLifetimes(text: String) {
        #expect(Lifetime(argument: text) == nil)
    }
}
