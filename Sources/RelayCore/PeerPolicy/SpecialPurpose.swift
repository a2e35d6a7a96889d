import STUN

/// Ranges of addresses that are not ordinary hosts on the Internet, each with a name that stays the same.
///
/// The rows are IANA's special-purpose registries for IPv4 and IPv6 (RFC 6890) as of 2025, with what those leave to
/// other registries: multicast, the parts of IPv6 outside 2000::/3 (global unicast), forms that RFC 4291 or its
/// successors have deprecated, and the addresses at which cloud providers hand out credentials. Ranges that IANA
/// calls globally reachable are in it as well: they are anycast services and translators, not peers. Where rows
/// overlap, the longest prefix names the range.
enum SpecialPurpose {
    struct Row: Sendable {
        let name: String
        let range: CIDR
        let standing: Standing
    }

    /// What may open a row.
    enum Standing: Sendable {
        /// Denied unless an allow list says otherwise.
        case special
        /// The same, but open in the `private-network` profile.
        case privateNetwork
        /// Not an address that a datagram can be sent to: nothing opens it.
        case unusable
    }

    /// Longest prefix first, so that the first row that contains an address is the one that names it.
    static let rows: [Row] = (ipv4 + ipv6).sorted { $0.range.prefixLength > $1.range.prefixLength }

    private static let ipv4: [Row] = [
        // Linux takes 0.0.0.0 as a destination for the host itself.
        v4("unspecified", 0, 0, 0, 0, 32, .unusable),
        v4("this-network", 0, 0, 0, 0, 8),
        v4("private", 10, 0, 0, 0, 8, .privateNetwork),
        v4("shared", 100, 64, 0, 0, 10, .privateNetwork),
        v4("loopback", 127, 0, 0, 0, 8),
        v4("link-local", 169, 254, 0, 0, 16),
        v4("private", 172, 16, 0, 0, 12, .privateNetwork),
        v4("ietf-protocol", 192, 0, 0, 0, 24),
        v4("ipv4-service-continuity", 192, 0, 0, 0, 29),
        v4("dummy", 192, 0, 0, 8, 32),
        v4("pcp-anycast", 192, 0, 0, 9, 32),
        v4("turn-anycast", 192, 0, 0, 10, 32),
        v4("nat64-discovery", 192, 0, 0, 170, 32),
        v4("nat64-discovery", 192, 0, 0, 171, 32),
        v4("documentation", 192, 0, 2, 0, 24),
        v4("as112", 192, 31, 196, 0, 24),
        v4("amt", 192, 52, 193, 0, 24),
        v4("6to4-relay-anycast", 192, 88, 99, 0, 24),
        v4("6a44-relay-anycast", 192, 88, 99, 2, 32),
        v4("private", 192, 168, 0, 0, 16, .privateNetwork),
        v4("as112", 192, 175, 48, 0, 24),
        v4("benchmarking", 198, 18, 0, 0, 15),
        v4("documentation", 198, 51, 100, 0, 24),
        v4("documentation", 203, 0, 113, 0, 24),
        v4("multicast", 224, 0, 0, 0, 4),
        v4("reserved", 240, 0, 0, 0, 4),
        v4("broadcast", 255, 255, 255, 255, 32),
        // Most providers' instance metadata; 169.254.170.2 and .23 are containers' credentials at one of them.
        v4("metadata", 169, 254, 169, 254, 32),
        v4("metadata", 169, 254, 170, 2, 32),
        v4("metadata", 169, 254, 170, 23, 32),
        // Alibaba's, within the shared range; Oracle's older one; Azure's, in public space and yet on every host.
        v4("metadata", 100, 100, 100, 200, 32),
        v4("metadata", 192, 0, 0, 192, 32),
        v4("metadata", 168, 63, 129, 16, 32),
    ]

    private static let ipv6: [Row] = [
        v6("unspecified", 0, 0, 128, .unusable),
        v6("loopback", 0, 1, 128),
        // The three forms that only stand for an IPv4 address. A v4-mapped one never is on the wire: a socket would
        // send IPv4, past the allocation's family. The other two left the wire with the transitions they served.
        v6("v4-mapped", 0, 0x0000_FFFF_0000_0000, 96, .unusable),
        v6("v4-compatible", 0, 0, 96, .unusable),
        v6("v4-translated", 0, 0xFFFF_0000_0000_0000, 96, .unusable),
        v6("nat64", 0x0064_FF9B_0000_0000, 0, 96),
        v6("nat64-local", 0x0064_FF9B_0001_0000, 0, 48),
        v6("discard", 0x0100_0000_0000_0000, 0, 64),
        v6("dummy", 0x0100_0000_0000_0001, 0, 64),
        v6("ietf-protocol", 0x2001_0000_0000_0000, 0, 23),
        v6("teredo", 0x2001_0000_0000_0000, 0, 32),
        v6("pcp-anycast", 0x2001_0001_0000_0000, 1, 128),
        v6("turn-anycast", 0x2001_0001_0000_0000, 2, 128),
        v6("dns-sd-srp-anycast", 0x2001_0001_0000_0000, 3, 128),
        v6("benchmarking", 0x2001_0002_0000_0000, 0, 48),
        v6("amt", 0x2001_0003_0000_0000, 0, 32),
        v6("as112", 0x2001_0004_0112_0000, 0, 48),
        v6("orchid", 0x2001_0010_0000_0000, 0, 28),
        v6("orchid-v2", 0x2001_0020_0000_0000, 0, 28),
        v6("drone-remote-id", 0x2001_0030_0000_0000, 0, 28),
        v6("documentation", 0x2001_0DB8_0000_0000, 0, 32),
        v6("6to4", 0x2002_0000_0000_0000, 0, 16),
        v6("as112", 0x2620_004F_8000_0000, 0, 48),
        v6("6bone", 0x3FFE_0000_0000_0000, 0, 16),
        v6("documentation", 0x3FFF_0000_0000_0000, 0, 20),
        v6("segment-routing", 0x5F00_0000_0000_0000, 0, 16),
        v6("unique-local", 0xFC00_0000_0000_0000, 0, 7, .privateNetwork),
        v6("link-local", 0xFE80_0000_0000_0000, 0, 10),
        v6("site-local", 0xFEC0_0000_0000_0000, 0, 10),
        v6("multicast", 0xFF00_0000_0000_0000, 0, 8),
        // Amazon's services on every instance, Google's metadata, Scaleway's; all within the unique-local range.
        v6("metadata", 0xFD00_0EC2_0000_0000, 0, 32),
        v6("metadata", 0xFD20_00CE_0000_0000, 0x254, 128),
        v6("metadata", 0xFD00_0042_0000_0000, 0x42, 128),
        // What is left of the space outside 2000::/3.
        v6("reserved", 0, 0, 3),
        v6("reserved", 0x4000_0000_0000_0000, 0, 2),
        v6("reserved", 0x8000_0000_0000_0000, 0, 1),
    ]

    private static func v4(
        _ name: String, _ a: UInt8, _ b: UInt8, _ c: UInt8, _ d: UInt8, _ prefixLength: UInt8,
        _ standing: Standing = .special
    ) -> Row {
        let bits = UInt32(a) << 24 | UInt32(b) << 16 | UInt32(c) << 8 | UInt32(d)
        return Row(
            name: name, range: CIDR(of: IPAddress(v4: bits), prefixLength: prefixLength), standing: standing)
    }

    private static func v6(
        _ name: String, _ high: UInt64, _ low: UInt64, _ prefixLength: UInt8, _ standing: Standing = .special
    ) -> Row {
        let network = IPAddress(v6High: high, low: low)
        return Row(name: name, range: CIDR(of: network, prefixLength: prefixLength), standing: standing)
    }
}
