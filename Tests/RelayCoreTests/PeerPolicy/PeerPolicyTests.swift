import STUN
import Testing

@testable import RelayCore

@Suite struct PeerPolicyTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var profile: PeerProfile = .public
        var allow: [String] = []
        var deny: [String] = []
        let peer: String
        /// The rule that denies; nothing when the peer is allowed.
        let rule: String?

        var testDescription: String { "\(profile.rawValue) allow \(allow) deny \(deny) peer \(peer)" }
    }

    static let precedence: [Case] = [
        // Deny beats allow at equal length and when it is longer; a longer allow beats it.
        Case(deny: ["8.8.8.0/24"], peer: "8.8.8.8", rule: "deny-peer 8.8.8.0/24"),
        Case(deny: ["8.8.8.0/24"], peer: "8.8.9.8", rule: nil),
        Case(allow: ["8.8.8.0/24"], deny: ["8.8.8.0/24"], peer: "8.8.8.8", rule: "deny-peer 8.8.8.0/24"),
        Case(allow: ["8.8.0.0/16"], deny: ["8.8.8.0/24"], peer: "8.8.8.8", rule: "deny-peer 8.8.8.0/24"),
        Case(allow: ["8.8.8.0/24"], deny: ["8.8.0.0/16"], peer: "8.8.8.8", rule: nil),
        Case(allow: ["8.8.8.0/24"], deny: ["8.8.0.0/16"], peer: "8.8.9.8", rule: "deny-peer 8.8.0.0/16"),
        Case(allow: ["8.8.8.0/24"], deny: ["0.0.0.0/0"], peer: "8.8.8.8", rule: nil),
        Case(allow: ["8.8.8.0/24"], deny: ["0.0.0.0/0"], peer: "9.9.9.9", rule: "deny-peer 0.0.0.0/0"),
        Case(deny: ["0.0.0.0/0"], peer: "2a00::1", rule: nil),
        Case(deny: ["::/0"], peer: "2a00::1", rule: "deny-peer ::/0"),
        // The longest entry of each list counts, in whatever order they were given.
        Case(
            allow: ["8.8.8.8"], deny: ["8.0.0.0/8", "8.8.8.0/24", "8.8.0.0/16"], peer: "8.8.8.9",
            rule: "deny-peer 8.8.8.0/24"),
        Case(allow: ["8.0.0.0/8", "8.8.8.8"], deny: ["8.8.8.0/24", "8.8.0.0/16"], peer: "8.8.8.8", rule: nil),
        // An allow entry opens the special-purpose range that it names or lies in.
        Case(allow: ["127.0.0.0/8"], peer: "127.0.0.1", rule: nil),
        Case(allow: ["127.0.0.1"], peer: "127.0.0.1", rule: nil),
        Case(allow: ["127.0.0.1"], peer: "127.0.0.2", rule: "special-purpose:loopback 127.0.0.0/8"),
        Case(allow: ["::1"], peer: "::1", rule: nil),
        Case(allow: ["10.1.0.0/16"], peer: "10.1.2.3", rule: nil),
        Case(allow: ["10.1.0.0/16"], peer: "10.2.2.3", rule: "special-purpose:private 10.0.0.0/8"),
        Case(allow: ["10.0.0.0/8"], deny: ["10.1.0.0/16"], peer: "10.1.2.3", rule: "deny-peer 10.1.0.0/16"),
        Case(allow: ["224.0.0.0/4"], peer: "239.1.2.3", rule: nil),
        // A shorter one does not, least of all /0.
        Case(allow: ["0.0.0.0/0"], peer: "127.0.0.1", rule: "special-purpose:loopback 127.0.0.0/8"),
        Case(allow: ["0.0.0.0/0"], peer: "8.8.8.8", rule: nil),
        Case(allow: ["8.0.0.0/6"], peer: "10.0.0.1", rule: "special-purpose:private 10.0.0.0/8"),
        Case(allow: ["::/0"], peer: "::1", rule: "special-purpose:loopback ::1/128"),
        Case(allow: ["::/0"], peer: "fd00::1", rule: "special-purpose:unique-local fc00::/7"),
        Case(
            allow: ["169.254.0.0/16"], peer: "169.254.169.254", rule: "special-purpose:metadata 169.254.169.254/32"),
        Case(allow: ["169.254.0.0/16"], peer: "169.254.1.1", rule: nil),
        Case(allow: ["169.254.169.254"], peer: "169.254.169.254", rule: nil),
        Case(allow: ["fc00::/7"], peer: "fd00:ec2::254", rule: "special-purpose:metadata fd00:ec2::/32"),
        // Nothing opens what is not an address to send to.
        Case(allow: ["0.0.0.0"], peer: "0.0.0.0", rule: "special-purpose:unspecified 0.0.0.0/32"),
        Case(allow: ["::"], peer: "::", rule: "special-purpose:unspecified ::/128"),
        Case(
            allow: ["::ffff:8.8.8.8"], peer: "::ffff:8.8.8.8", rule: "special-purpose:v4-mapped ::ffff:0.0.0.0/96"),
        Case(allow: ["::8.8.8.8"], peer: "::8.8.8.8", rule: "special-purpose:v4-compatible ::/96"),
        // What private-network opens, a list can close, and metadata stays closed.
        Case(profile: .privateNetwork, peer: "10.1.2.3", rule: nil),
        Case(profile: .privateNetwork, peer: "172.31.255.255", rule: nil),
        Case(profile: .privateNetwork, peer: "192.168.1.1", rule: nil),
        Case(profile: .privateNetwork, peer: "100.64.0.1", rule: nil),
        Case(profile: .privateNetwork, peer: "fd12::1", rule: nil),
        Case(profile: .privateNetwork, deny: ["10.0.0.0/8"], peer: "10.1.2.3", rule: "deny-peer 10.0.0.0/8"),
        Case(profile: .privateNetwork, deny: ["0.0.0.0/0"], peer: "10.1.2.3", rule: "deny-peer 0.0.0.0/0"),
        Case(
            profile: .privateNetwork, peer: "100.100.100.200", rule: "special-purpose:metadata 100.100.100.200/32"),
        Case(profile: .privateNetwork, peer: "fd00:ec2::254", rule: "special-purpose:metadata fd00:ec2::/32"),
        Case(profile: .privateNetwork, peer: "127.0.0.1", rule: "special-purpose:loopback 127.0.0.0/8"),
        Case(profile: .privateNetwork, peer: "fe80::1", rule: "special-purpose:link-local fe80::/10"),
    ]

    @Test("Which rule wins", arguments: precedence)
    func winningRule(entry: Case) throws {
        let policy = PeerPolicy(
            profile: entry.profile, allow: try entry.allow.map { try CIDR($0) },
            deny: try entry.deny.map { try CIDR($0) })
        switch policy.judge(try #require(IPAddress(entry.peer))) {
        case .allowed: #expect(entry.rule == nil)
        case .denied(let rule): #expect(rule.description == entry.rule)
        }
    }

    @Test("The profiles' names are those of the command line")
    func profileNames() {
        #expect(PeerProfile.allCases.map(\.rawValue) == ["public", "private-network"])
    }
}
