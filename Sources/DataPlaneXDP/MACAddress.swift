/// Six bytes of an Ethernet address, as a value that costs no memory of its own.
struct MACAddress: Hashable, Sendable {
    typealias Octets = (UInt8, UInt8, UInt8, UInt8, UInt8, UInt8)

    /// The first byte is the highest of six.
    private let bits: UInt64

    init(_ octets: Octets) {
        func three(_ first: UInt8, _ second: UInt8, _ third: UInt8) -> UInt64 {
            UInt64(first) << 16 | UInt64(second) << 8 | UInt64(third)
        }
        bits = three(octets.0, octets.1, octets.2) << 24 | three(octets.3, octets.4, octets.5)
    }

    /// As they are sent.
    var octets: Octets {
        func octet(_ place: UInt64) -> UInt8 { UInt8(truncatingIfNeeded: bits >> (8 * (5 - place))) }
        return (octet(0), octet(1), octet(2), octet(3), octet(4), octet(5))
    }
}
