import Logging
import RelayCore
import STUN
import TestSeed
import Testing

@testable import relayd

@Suite("Coturn's configuration in relayd's words")
struct MigrationTests {
    private func migrate(_ text: String) -> Migration { Migration(CoturnFile(text), from: "turnserver.conf") }

    /// The keys that come out, read back.
    private func settings(_ text: String) throws -> Settings {
        let read = try Reading(yaml: migrate(text).text)
        #expect(read.problems.isEmpty, "\(read.problems)")
        return read.settings
    }

    /// As the guides for a web conference on a cloud host have it.
    static let cloud = """
        # Coturn behind 1:1 NAT
        listening-port=3478
        tls-listening-port=5349
        listening-ip=10.0.0.5
        external-ip=203.0.113.5/10.0.0.5
        min-port=49160
        max-port=49200
        fingerprint
        use-auth-secret
        static-auth-secret=north#pole
        realm=turn.example.org
        user-quota=12
        total-quota = 1200
        stale-nonce=700
        no-multicast-peers
        no-cli
        cert=/etc/letsencrypt/live/turn.example.org/fullchain.pem
        pkey=/etc/letsencrypt/live/turn.example.org/privkey.pem
        cipher-list="ECDHE-RSA-AES256-GCM-SHA512"
        denied-peer-ip=0.0.0.0-0.255.255.255
        denied-peer-ip=10.0.0.0-10.255.255.255
        denied-peer-ip=192.168.0.0-192.168.255.255
        allowed-peer-ip=10.0.0.5   # ourselves
        denied-peer-ip=fc00::-fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff
        syslog
        proc-user=turnserver
        mobility
        """

    @Test("A guide's file")
    func cloudFile() throws {
        let settings = try settings(Self.cloud)
        #expect(settings.listen.map(\.description) == ["10.0.0.5:3478"])
        #expect(settings.relayAddresses.map(\.description) == ["10.0.0.5"])
        #expect(settings.externalAddresses.map(\.description) == ["203.0.113.5"])
        #expect(settings.relayPorts == 49160...49200)
        #expect(settings.authSecrets == ["north#pole"])
        #expect(settings.realm == "turn.example.org")
        #expect(settings.allocationsPerUser == 12 && settings.allocationsTotal == 1200)
        #expect(settings.nonceLifetimeSeconds == 700)
        #expect(settings.allowPeers.map(\.description) == ["10.0.0.5/32"])
        #expect(
            settings.denyPeers.map(\.description) == ["0.0.0.0/8", "10.0.0.0/8", "192.168.0.0/16", "fc00::/7"])
        let text = migrate(Self.cloud).text
        for option in ["tls-listening-port", "cert", "pkey", "cipher-list", "syslog", "mobility"] {
            #expect(text.contains(", \(option): "), "\(option)")
        }
        #expect(text.contains("line 3, tls-listening-port: TURN over TLS and DTLS is not there yet"))
        for option in ["fingerprint", "no-multicast-peers", "no-cli", "proc-user"] {
            #expect(migrate(Self.cloud).given.contains { $0.contains(", \(option): ") }, "\(option)")
        }
    }

    @Test("Rates in bytes become bits, and a capacity that is shared out becomes a number of sessions")
    func rates() throws {
        let both = try settings("user=a:b\nmax-bps=250000\nbps-capacity=10000001\ntotal-quota=100\n")
        #expect(both.allocationRate == RateLimit(bitsPerSecond: 2_000_000))
        // 40 whole ones, and one with the byte that is left.
        #expect(both.allocationsTotal == 41)
        let text = migrate("user=a:b\nmax-bps=250000\nbps-capacity=10000001\ntotal-quota=100\n").text
        #expect(text.contains("# bps-capacity, as sessions of max-bps\nallocations-total: 41\n"))
        #expect(text.contains("# max-bps, in bits instead of bytes a second\nallocation-rate: 2000000\n"))
        #expect(try settings("user=a:b\nmax-bps=250000\nbps-capacity=99999999\ntotal-quota=9\n").allocationsTotal == 9)
        let alone = try settings("user=a:b\nbps-capacity=1000000\n")
        #expect(alone.allocationRate == .none && alone.allocationsTotal == 0)
        #expect(migrate("user=a:b\nbps-capacity=1000000\n").notes.contains { $0.hasPrefix("bps-capacity: without") })
        let none = migrate("user=a:b\nmax-bps=0\nbps-capacity=0\n")
        #expect(!none.text.contains("bps"))
    }

    @Test("Passwords, keys in place of them, two families and several addresses")
    func homeFile() throws {
        let text = """
            listening-ip=192.0.2.1
            listening-ip=2001:db8::1
            relay-ip=192.0.2.1
            relay-ip=192.0.2.2
            relay-ip=2001:db8::1
            external-ip=198.51.100.1/192.0.2.1
            lt-cred-mech
            user=alice:pass:word
            user=bob:0xbc807ee29df3c9ffa736523fb2c4e8ee
            --realm home.example
            relay-threads=0
            Verbose
            prometheus
            verbose=no
            max-bps=0
            frobnicate=yes
            """
        let settings = try settings(text)
        #expect(settings.listen.map(\.description) == ["192.0.2.1:3478", "[2001:db8::1]:3478"])
        #expect(settings.relayAddresses.map(\.description) == ["192.0.2.1", "192.0.2.2", "2001:db8::1"])
        #expect(settings.externalAddresses.map(\.description) == ["198.51.100.1", "192.0.2.2"])
        #expect(settings.users == [StaticUser(name: "alice", password: "pass:word")])
        #expect(settings.realm == "home.example" && settings.workers == 1 && settings.logLevel == .debug)
        #expect(settings.http?.description == "127.0.0.1:9641")
        let notes = migrate(text).notes
        #expect(notes.contains { $0.hasPrefix("line 9: user bob has a key") })
        #expect(notes.contains("line 16, frobnicate: coturn 4.6 documents no such option"))
        #expect(!notes.contains { $0.contains("max-bps") })
        #expect(!migrate(text).text.contains("0xbc80"))
    }

    @Test("The program's own output passes relayd check")
    func passesCheck() throws {
        let coturn = try TemporaryFile(Self.cloud)
        let migrated = try Program(["migrate", coturn.path])
        #expect(migrated.status == 0 && migrated.errors.isEmpty)
        let yaml = try TemporaryFile(migrated.output)
        let check = try Program(["check", "--config", yaml.path])
        #expect(check.status == 0, "\(check.errors)")
        #expect(check.output.contains("relay-ports: 49160-49200"))
    }

    @Test(
        "What cannot be is said, with the line",
        arguments: [
            ("min-port=9\nmax-port=3", "min-port 9 is above max-port 3"),
            ("listening-port=http", "line 1, listening-port: \"http\" is not a number from 1 to 65535"),
            (
                "denied-peer-ip=10.0.0.9-10.0.0.1",
                "line 1, denied-peer-ip: \"10.0.0.9-10.0.0.1\" is not an address or first-last"
            ),
            (
                "external-ip=turn.example.org",
                "line 1, external-ip: \"turn.example.org\" is not an address, or public/private"
            ),
            ("no-auth", "no-auth: relayd does not start without credentials, for an open relay is everybody's proxy"),
            ("stale-nonce=0", "stale-nonce 0: a nonce is good for 60 s to 8 h, so it became 28800 s"),
            (
                "use-auth-secret",
                "use-auth-secret without static-auth-secret: the secrets are in a database; give them as "
                    + "auth-secret-file"
            ),
        ])
    func refusals(text: String, note: String) {
        #expect(migrate(text).notes.contains(note), "\(migrate(text).notes)")
    }

    @Test("A file that cannot be read: status 78")
    func unreadable() throws {
        let run = try Program(["migrate", "/nonexistent/turnserver.conf"])
        #expect(run.status == 78)
        #expect(run.errors.contains("/nonexistent/turnserver.conf cannot be read"))
    }
}

@Suite("Ranges of addresses as networks")
struct AddressRangeTests {
    @Test(
        "The edges",
        arguments: [
            ("0.0.0.0-255.255.255.255", ["0.0.0.0/0"]), ("192.0.2.7", ["192.0.2.7/32"]),
            ("192.0.2.1-192.0.2.6", ["192.0.2.1/32", "192.0.2.2/31", "192.0.2.4/31", "192.0.2.6/32"]),
            ("255.255.255.254-255.255.255.255", ["255.255.255.254/31"]), ("10.0.0.0/8", ["10.0.0.0/8"]),
            ("::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ["::/0"]), ("::1-::2", ["::1/128", "::2/128"]),
        ])
    func edges(text: String, networks: [String]) throws {
        #expect(try #require(AddressRange(text)).networks.map(\.description) == networks)
    }

    @Test(
        "No range",
        arguments: ["", "-", "10.0.0.2-10.0.0.1", "10.0.0.1-::1", "10.0.0.0/33", "a-b", "1.2.3.4-1.2.3.5-1.2.3.6"])
    func none(text: String) {
        #expect(AddressRange(text) == nil)
    }

    @Test("Random ranges: side by side, none missing, none too many, each a network")
    func random() throws {
        var generator = SeededGenerator()
        for _ in 0..<2000 {
            let family = AddressFamily.allCases.randomElement(using: &generator) ?? .ipv4
            let largest: UInt128 = family == .ipv4 ? UInt128(UInt32.max) : .max
            // Near and far ends: shifts make small ranges as likely as large ones.
            let ends = (0..<2).map { _ in
                UInt128(generator.next()) << 64 | UInt128(generator.next())
            }.map { ($0 >> UInt128(UInt8.random(in: 0...120, using: &generator))) & largest }.sorted()
            let range = AddressRange(family, ends[0], ends[1])
            var next = range.first
            for network in range.networks {
                #expect(network.first == next, "RELAYD_TEST_SEED=\(testSeed)")
                let parsed = try CIDR(network.description)
                #expect(parsed.network.number == network.first, "RELAYD_TEST_SEED=\(testSeed)")
                #expect(try #require(AddressRange(network.description)) == network, "RELAYD_TEST_SEED=\(testSeed)")
                next = network.last &+ 1
            }
            #expect(next == range.last &+ 1, "RELAYD_TEST_SEED=\(testSeed)")
        }
    }

    /// coturn: allowed beats denied, and what neither names is allowed.
    @Test("Random lists judge public addresses as coturn would")
    func meaning() throws {
        var generator = SeededGenerator()
        for _ in 0..<200 {
            // Within 198.20.0.0/16, which no registry reserves.
            let base: UInt128 = 0xC614_0000
            func lists() -> [AddressRange] {
                (0..<Int.random(in: 0...4, using: &generator)).map { _ in
                    let ends = (0..<2).map { _ in base + UInt128(UInt16.random(in: 0...63, using: &generator)) }
                        .sorted()
                    return AddressRange(.ipv4, ends[0], ends[1])
                }
            }
            let (allowed, denied) = (lists(), lists())
            func lines(_ name: String, _ ranges: [AddressRange]) -> [String] {
                ranges.map { "\(name)=\(IPAddress(.ipv4, $0.first))-\(IPAddress(.ipv4, $0.last))" }
            }
            let text = (lines("allowed-peer-ip", allowed) + lines("denied-peer-ip", denied)).joined(separator: "\n")
            let yaml = Migration(CoturnFile(text), from: "file").text
            let settings = try Reading(.credentials, yaml: yaml).settings
            let policy = PeerPolicy(profile: .public, allow: settings.allowPeers, deny: settings.denyPeers)
            for offset in 0...64 as ClosedRange<UInt128> {
                let address = base + offset
                let isIn = { (ranges: [AddressRange]) in ranges.contains { $0.first <= address && address <= $0.last } }
                let isAllowed = isIn(allowed) || !isIn(denied)
                #expect(
                    (policy.judge(IPAddress(.ipv4, address)) == .allowed) == isAllowed,
                    "RELAYD_TEST_SEED=\(testSeed) \(IPAddress(.ipv4, address))\n\(yaml)")
            }
        }
    }
}
