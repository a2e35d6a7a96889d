import STUN

/// The IPv4 addresses that an IPv6 address stands for, or that some router on the way would send it to.
///
/// | Form | Where the IPv4 address is |
/// |---|---|
/// | v4-mapped `::ffff:0:0/96`, v4-translated `::ffff:0:0:0/96`, NAT64 `64:ff9b::/96` | the last 32 bits |
/// | v4-compatible `::/96`, other than `::` and `::1` | the last 32 bits |
/// | 6to4 `2002::/16` (RFC 3056) | bits 16 to 47 |
/// | local-use NAT64 `64:ff9b:1::/48` (RFC 8215) | as RFC 6052 section 2.2 has it for prefixes of 48, 56, 64 and 96 bits |
/// | Teredo `2001::/32` (RFC 4380) | the server in bits 32 to 63, the client inverted in the last 32 |
/// | ISATAP (RFC 5214), below any prefix | the last 32 bits behind `0:5efe` or `200:5efe` |
///
/// A translator with a prefix of its operator's own cannot be told from the address; that prefix belongs on the deny
/// list.
func embeddedAddresses(in address: IPAddress) -> [IPAddress] {
    guard address.family == .ipv6 else { return [] }
    let (high, low) = (address.high, address.low)
    var found: [IPAddress] = []
    let lastBits = v4(low)
    if high == 0 {
        let isMappedOrCompatible = low >> 32 == 0xFFFF || low >> 32 == 0 && low > 1
        if isMappedOrCompatible || low >> 32 == 0xFFFF_0000 { found.append(lastBits) }
    }
    if high == 0x0064_FF9B_0000_0000 && low >> 32 == 0 { found.append(lastBits) }
    if high >> 16 == 0x0064_FF9B_0001 { found += localNAT64Addresses(high, low) }
    if high >> 48 == 0x2002 { found.append(v4(high >> 16)) }
    if high >> 32 == 0x2001_0000 { found += [v4(high), v4(~low)] }
    // The two bits that say "universal" and "group" do not change whose interface identifier it is.
    if (low >> 32) & 0xFCFF_FFFF == 0x0000_5EFE { found.append(lastBits) }
    return found
}

/// Each way to read an address of 64:ff9b:1::/48: the translator's prefix may be 48, 56, 64 or 96 bits long.
///
/// Bits 64 to 71 are skipped, as RFC 6052 says. A reading below 0.0.0.0/8 is the zeros between a longer prefix and its
/// IPv4 address, or nothing that a translator could send to.
private func localNAT64Addresses(_ high: UInt64, _ low: UInt64) -> [IPAddress] {
    let afterSkipped = low << 8
    let readings = [
        (high & 0xFFFF) << 16 | afterSkipped >> 48,
        (high & 0xFF) << 24 | afterSkipped >> 40,
        afterSkipped >> 32,
        low & 0xFFFF_FFFF,
    ]
    return readings.filter { $0 >> 24 != 0 }.map(v4)
}

/// The IPv4 address in the lowest 32 bits.
private func v4(_ bits: UInt64) -> IPAddress { IPAddress(v4: UInt32(truncatingIfNeeded: bits)) }
