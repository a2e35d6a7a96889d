import STUN
import Testing

@testable import RelayCore

@Suite struct EmbeddedAddressesTests {
    /// Each way to dress up an IPv4 address, and whether a list can open the form.
    enum Form: String, CaseIterable, Sendable {
        case mapped, compatible, translated, nat64, local48, local56, local64, local96
        case sixToFour, teredoServer, teredoClient, isatap, isatapUniversal, isatapGroup

        /// The address that embeds `v4`.
        func embedding(_ v4: UInt32) -> IPAddress {
            let bits = UInt64(v4)
            let local: UInt64 = 0x0064_FF9B_0001_0000
            let ordinary: UInt64 = 0x2A00_1450_4001_0000
            return switch self {
            case .mapped: IPAddress(v6High: 0, low: 0xFFFF << 32 | bits)
            case .compatible: IPAddress(v6High: 0, low: bits)
            case .translated: IPAddress(v6High: 0, low: 0xFFFF << 48 | bits)
            case .nat64: IPAddress(v6High: 0x0064_FF9B << 32, low: bits)
            case .local48: IPAddress(v6High: local | bits >> 16, low: (bits & 0xFFFF) << 40)
            case .local56: IPAddress(v6High: local | 0xAB00 | bits >> 24, low: (bits & 0xFF_FFFF) << 32)
            case .local64: IPAddress(v6High: local | 0xABCD, low: bits << 24)
            case .local96: IPAddress(v6High: local | 0xABCD, low: 0x00AB_CDEF << 32 | bits)
            case .sixToFour: IPAddress(v6High: 0x2002 << 48 | bits << 16 | 1, low: 1)
            case .teredoServer: IPAddress(v6High: 0x2001 << 48 | bits, low: ~0x5DB8_D822 & 0xFFFF_FFFF)
            case .teredoClient: IPAddress(v6High: 0x2001 << 48 | 0x5DB8_D822, low: ~bits & 0xFFFF_FFFF)
            case .isatap: IPAddress(v6High: ordinary, low: 0x0000_5EFE << 32 | bits)
            case .isatapUniversal: IPAddress(v6High: ordinary, low: 0x0200_5EFE << 32 | bits)
            case .isatapGroup: IPAddress(v6High: ordinary, low: 0x0300_5EFE << 32 | bits)
            }
        }

        /// The rule that denies the form itself when no list opens it.
        var rule: String? {
            switch self {
            case .mapped: "special-purpose:v4-mapped ::ffff:0.0.0.0/96"
            case .compatible: "special-purpose:v4-compatible ::/96"
            case .translated: "special-purpose:v4-translated ::ffff:0:0:0/96"
            case .nat64: "special-purpose:nat64 64:ff9b::/96"
            case .local48, .local56, .local64, .local96: "special-purpose:nat64-local 64:ff9b:1::/48"
            case .sixToFour: "special-purpose:6to4 2002::/16"
            case .teredoServer, .teredoClient: "special-purpose:teredo 2001::/32"
            case .isatap, .isatapUniversal, .isatapGroup: nil
            }
        }

        var canBeOpened: Bool { ![.mapped, .compatible, .translated].contains(self) }
    }

    /// An IPv4 address, and the rule that denies it in each profile.
    struct Inner: Sendable {
        let bits: UInt32
        let inPublic, inPrivateNetwork: String?
    }

    static let inners = [
        Inner(
            bits: 0x7F00_0001, inPublic: "special-purpose:loopback 127.0.0.0/8",
            inPrivateNetwork: "special-purpose:loopback 127.0.0.0/8"),
        Inner(bits: 0x0A00_0001, inPublic: "special-purpose:private 10.0.0.0/8", inPrivateNetwork: nil),
        Inner(
            bits: 0xA9FE_A9FE, inPublic: "special-purpose:metadata 169.254.169.254/32",
            inPrivateNetwork: "special-purpose:metadata 169.254.169.254/32"),
        Inner(bits: 0x5DB8_D822, inPublic: nil, inPrivateNetwork: nil),
    ]

    static let openForms = ["64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/0", "::ffff:0:0/96"]

    private func rule(_ policy: PeerPolicy, _ address: IPAddress) -> String? {
        guard case .denied(let rule) = policy.judge(address) else { return nil }
        return rule.description
    }

    @Test("Without lists, the form or what it embeds is denied", arguments: Form.allCases, inners)
    func deniedByProfile(form: Form, inner: Inner) {
        let address = form.embedding(inner.bits)
        let open = PeerPolicy(profile: .public, allow: [], deny: [])
        #expect(rule(open, address) == form.rule ?? inner.inPublic)
        let site = PeerPolicy(profile: .privateNetwork, allow: [], deny: [])
        #expect(rule(site, address) == form.rule ?? inner.inPrivateNetwork)
    }

    @Test("A form that a list opens is as good as the address that it embeds", arguments: Form.allCases, inners)
    func openedForms(form: Form, inner: Inner) throws {
        let address = form.embedding(inner.bits)
        let allow = try Self.openForms.map { try CIDR($0) }
        let open = PeerPolicy(profile: .public, allow: allow, deny: [])
        #expect(rule(open, address) == (form.canBeOpened ? inner.inPublic : form.rule))
        let site = PeerPolicy(profile: .privateNetwork, allow: allow, deny: [])
        #expect(rule(site, address) == (form.canBeOpened ? inner.inPrivateNetwork : form.rule))
    }

    @Test("The lists hold for embedded addresses as well", arguments: Form.allCases.filter(\.canBeOpened))
    func listsHold(form: Form) throws {
        let forms = try Self.openForms.map { try CIDR($0) }
        let closed = PeerPolicy(profile: .public, allow: forms, deny: [try CIDR("93.184.216.0/24")])
        #expect(rule(closed, form.embedding(0x5DB8_D822)) == "deny-peer 93.184.216.0/24")
        let opened = PeerPolicy(profile: .public, allow: forms + [try CIDR("10.0.0.0/30")], deny: [])
        #expect(opened.judge(form.embedding(0x0A00_0001)) == .allowed)
    }

    /// Literal texts, so that the arithmetic above and the one in the code are not wrong in the same way. The first
    /// eight are RFC 6052 section 2.4's layout at each length, moved under 64:ff9b:1::/48.
    @Test(
        "Known texts",
        arguments: [
            ("64:ff9b:1:c000:2:2100::", "192.0.2.33"), ("64:ff9b:1:3c0:0:221::", "192.0.2.33"),
            ("64:ff9b:1:344:c0:2:2100::", "192.0.2.33"), ("64:ff9b:1:344::192.0.2.33", "192.0.2.33"),
            ("64:ff9b:1:7f00:0:100::", "127.0.0.1"), ("64:ff9b:1:7f:0:1::", "127.0.0.1"),
            ("64:ff9b:1:0:7f:0:100:0", "127.0.0.1"), ("64:ff9b:1::127.0.0.1", "127.0.0.1"),
            ("64:ff9b::7f00:1", "127.0.0.1"), ("::ffff:7f00:1", "127.0.0.1"), ("::127.0.0.1", "127.0.0.1"),
            ("::ffff:0:127.0.0.1", "127.0.0.1"), ("2002:7f00:1::1", "127.0.0.1"),
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "65.54.227.120"),
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "192.0.2.45"),
            ("fe80::5efe:10.0.0.1", "10.0.0.1"), ("2001:db8::200:5efe:10.0.0.1", "10.0.0.1"),
        ])
    func knownTexts(text: String, embedded: String) throws {
        let address = try #require(IPAddress(text))
        let inner = try #require(IPAddress(embedded))
        #expect(embeddedAddresses(in: address).contains(inner))
    }

    @Test(
        "What embeds nothing",
        arguments: [
            "::", "::1", "127.0.0.1", "2a00:1450:4001::1", "64:ff9b:2::7f00:1", "64:ff9b:0:1::7f00:1", "2003:7f00:1::",
        ])
    func nothingEmbedded(text: String) throws {
        #expect(embeddedAddresses(in: try #require(IPAddress(text))).isEmpty)
    }

    @Test("NAT64 with a short IPv4 reading of zeros judges the address that is there")
    func zerosAreNoAddress() throws {
        let address = try #require(IPAddress("64:ff9b:1::8.8.8.8"))
        #expect(embeddedAddresses(in: address) == [IPAddress(v4: 0x0808_0808)])
    }
}
