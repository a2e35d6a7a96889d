import STUN
import Testing

@testable import RelayCore

/// The registries once more, as text: what IANA lists and what this project adds.
@Suite struct SpecialPurposeTests {
    static let ranges: [(range: String, name: String)] = [
        ("0.0.0.0/32", "unspecified"), ("0.0.0.0/8", "this-network"), ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared"), ("127.0.0.0/8", "loopback"), ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"), ("192.0.0.0/24", "ietf-protocol"), ("192.0.0.0/29", "ipv4-service-continuity"),
        ("192.0.0.8/32", "dummy"), ("192.0.0.9/32", "pcp-anycast"), ("192.0.0.10/32", "turn-anycast"),
        ("192.0.0.170/32", "nat64-discovery"), ("192.0.0.171/32", "nat64-discovery"),
        ("192.0.2.0/24", "documentation"), ("192.31.196.0/24", "as112"), ("192.52.193.0/24", "amt"),
        ("192.88.99.0/24", "6to4-relay-anycast"), ("192.88.99.2/32", "6a44-relay-anycast"),
        ("192.168.0.0/16", "private"), ("192.175.48.0/24", "as112"), ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"), ("203.0.113.0/24", "documentation"), ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"), ("255.255.255.255/32", "broadcast"), ("169.254.169.254/32", "metadata"),
        ("169.254.170.2/32", "metadata"), ("169.254.170.23/32", "metadata"), ("100.100.100.200/32", "metadata"),
        ("192.0.0.192/32", "metadata"), ("168.63.129.16/32", "metadata"),
        ("::/128", "unspecified"), ("::1/128", "loopback"), ("::ffff:0.0.0.0/96", "v4-mapped"),
        ("::/96", "v4-compatible"), ("::ffff:0:0:0/96", "v4-translated"), ("64:ff9b::/96", "nat64"),
        ("64:ff9b:1::/48", "nat64-local"), ("100::/64", "discard"), ("100:0:0:1::/64", "dummy"),
        ("2001::/23", "ietf-protocol"), ("2001::/32", "teredo"), ("2001:1::1/128", "pcp-anycast"),
        ("2001:1::2/128", "turn-anycast"), ("2001:1::3/128", "dns-sd-srp-anycast"), ("2001:2::/48", "benchmarking"),
        ("2001:3::/32", "amt"), ("2001:4:112::/48", "as112"), ("2001:10::/28", "orchid"),
        ("2001:20::/28", "orchid-v2"), ("2001:30::/28", "drone-remote-id"), ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"), ("2620:4f:8000::/48", "as112"), ("3ffe::/16", "6bone"), ("3fff::/20", "documentation"),
        ("5f00::/16", "segment-routing"), ("fc00::/7", "unique-local"), ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"), ("ff00::/8", "multicast"), ("fd00:ec2::/32", "metadata"),
        ("fd20:ce::254/128", "metadata"), ("fd00:42::42/128", "metadata"), ("::/3", "reserved"),
        ("4000::/2", "reserved"), ("8000::/1", "reserved"),
    ]

    /// What `private-network` opens, unless a longer range within says otherwise.
    static let privateRanges = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"]

    /// The rule that the longest of the listed ranges around an address gives.
    private func expectedRule(_ address: IPAddress, _ profile: PeerProfile) throws -> String? {
        var longest: (range: CIDR, name: String)?
        for (text, name) in Self.ranges {
            let range = try CIDR(text)
            guard range.contains(address), range.prefixLength > longest.map({ Int($0.range.prefixLength) }) ?? -1
            else { continue }
            longest = (range, name)
        }
        guard let longest else { return nil }
        if profile == .privateNetwork, Self.privateRanges.contains(longest.range.description) { return nil }
        return "special-purpose:\(longest.name) \(longest.range)"
    }

    private func rule(_ judgement: Judgement) -> String? {
        guard case .denied(let rule) = judgement else { return nil }
        return rule.description
    }

    @Test("Each range denies its first and last address, and not the neighbours", arguments: PeerProfile.allCases)
    func coversRanges(profile: PeerProfile) throws {
        let policy = PeerPolicy(profile: profile, allow: [], deny: [])
        for (text, _) in Self.ranges {
            let range = try CIDR(text)
            let network = AddressNumber(range.network)
            let last = network.last(range.prefixLength)
            for address in [network, last, network.before, last.after].compactMap({ $0?.ip }) {
                #expect(try rule(policy.judge(address)) == expectedRule(address, profile), "\(address) at \(text)")
            }
        }
    }

    @Test("No row of the table is missing here, and none is there twice")
    func tableIsComplete() {
        let rows = SpecialPurpose.rows.map { "\($0.range) \($0.name)" }
        #expect(rows.count == Self.ranges.count)
        #expect(Set(rows) == Set(Self.ranges.map { "\($0.range) \($0.name)" }))
    }

    @Test("Random addresses get the longest range around them", arguments: PeerProfile.allCases)
    func randomAddresses(profile: PeerProfile) throws {
        var generator = SplitMix64(seed: structureSeed)
        let policy = PeerPolicy(profile: profile, allow: [], deny: [])
        for _ in 0..<500 {
            let width: UInt8 = Bool.random(using: &generator) ? 32 : 128
            let address = AddressNumber(random: width, using: &generator).ip
            #expect(
                try rule(policy.judge(address)) == expectedRule(address, profile), "\(address) \(structureSeedNote)")
        }
    }

    @Test(
        "Ordinary addresses are allowed in both profiles",
        arguments: [
            "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "93.184.216.34", "168.63.129.15", "223.255.255.255",
            "2000::1", "2001:200::1", "2003::1", "2606:4700:4700::1111", "2a00:1450:4001::1", "3fff:1000::1",
        ])
    func ordinary(text: String) throws {
        let address = try #require(IPAddress(text))
        for profile in PeerProfile.allCases {
            #expect(PeerPolicy(profile: profile, allow: [], deny: []).judge(address) == .allowed)
        }
    }
}
