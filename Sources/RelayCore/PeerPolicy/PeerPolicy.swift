public import STUN

/// What is open to peers before any list is read.
public enum PeerProfile: String, Sendable, Hashable, CaseIterable {
    /// The Internet: every special-purpose range is denied.
    case `public`
    /// A site of its own: the private ranges of RFC 1918, the shared range 100.64.0.0/10 and the unique-local range
    /// fc00::/7 are open, but for the metadata addresses within them; everything else is as in `public`.
    case privateNetwork = "private-network"
}

/// Who may be a peer: the guard between a relay and the network that it stands in.
///
/// For one address:
/// 1. Of each list, the entry with the longest prefix that contains the address counts.
/// 2. If a deny entry counts, the address is denied, unless an allow entry counts that is longer. At equal length deny
///    wins.
/// 3. If an allow entry counts, the address is allowed, unless the profile denies a special-purpose range that contains
///    the address and is longer than the entry. So `10.0.0.0/8` or `10.1.2.3` opens what it names, while `0.0.0.0/0`
///    is no door into the relay's own network, and `fc00::/7` leaves the metadata addresses within it closed.
/// 4. If no entry counts, the profile decides; what no special-purpose range contains is allowed.
///
/// The addresses that only exist in programs (unspecified, v4-mapped, v4-compatible and v4-translated ones) are denied
/// whatever the lists say: a socket would send them past the allocation's address family, or to the relay's own host.
///
/// An IPv6 address that embeds IPv4 addresses is denied if it is denied itself or if any of them is, lists included:
/// `64:ff9b::/96` on the allow list opens NAT64 to public addresses, not to 127.0.0.1.
public struct PeerPolicy: Sendable, Hashable {
    private let profile: PeerProfile
    private let allow: [CIDR]
    private let deny: [CIDR]

    public init(profile: PeerProfile, allow: [CIDR], deny: [CIDR]) {
        self.profile = profile
        self.allow = allow.sorted { $0.prefixLength > $1.prefixLength }
        self.deny = deny.sorted { $0.prefixLength > $1.prefixLength }
    }

    /// Whether `peer` may be sent to. For the control path: it looks at every entry and may allocate memory.
    public func judge(_ peer: IPAddress) -> Judgement {
        if let rule = ruleAgainst(peer) { return .denied(rule: rule) }
        for embedded in embeddedAddresses(in: peer) {
            if let rule = ruleAgainst(embedded) { return .denied(rule: rule) }
        }
        return .allowed
    }

    /// Whether the allow list names this very address (/32, /128) and the deny list does not: what it takes to open
    /// one of the relay's own addresses.
    func allowsExactly(_ address: IPAddress) -> Bool {
        let isNamed = allow.contains { $0 == CIDR(of: address) }
        return isNamed && judge(address) == .allowed
    }

    /// The rule that denies `address` as it stands.
    private func ruleAgainst(_ address: IPAddress) -> PeerRule? {
        let special = SpecialPurpose.rows.first { $0.range.contains(address) }
        if let special, special.standing == .unusable { return PeerRule(special) }
        // The lists are sorted: the first entry that contains the address is the longest.
        let allowed = allow.first { $0.contains(address) }
        if let denied = deny.first(where: { $0.contains(address) }) {
            guard let allowed, allowed.prefixLength > denied.prefixLength else { return .denyPeer(denied) }
        }
        guard let special, !isOpen(special) else { return nil }
        if let allowed, allowed.prefixLength >= special.range.prefixLength { return nil }
        return PeerRule(special)
    }

    private func isOpen(_ special: SpecialPurpose.Row) -> Bool {
        profile == .privateNetwork && special.standing == .privateNetwork
    }
}

/// The answer of a ``PeerPolicy``.
public enum Judgement: Sendable, Hashable {
    case allowed
    case denied(rule: PeerRule)
}

/// What a peer was denied by, for a person to read.
public enum PeerRule: Sendable, Hashable, CustomStringConvertible {
    /// A range of the special-purpose registries, with its name, such as `loopback`.
    case specialPurpose(name: String, range: CIDR)
    /// An entry of the deny list.
    case denyPeer(CIDR)

    /// `special-purpose:loopback 127.0.0.0/8` or `deny-peer 10.1.0.0/16`.
    public var description: String {
        switch self {
        case .specialPurpose(let name, let range): "special-purpose:\(name) \(range)"
        case .denyPeer(let range): "deny-peer \(range)"
        }
    }

    fileprivate init(_ row: SpecialPurpose.Row) {
        self = .specialPurpose(name: row.name, range: row.range)
    }
}
