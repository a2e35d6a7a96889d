import STUN
import Testing

@testable import RelayCore

@Suite struct CIDRTests {
    @Test(
        "Ranges and addresses alone",
        arguments: [
            ("10.0.0.0/8", "10.0.0.0/8"), ("0.0.0.0/0", "0.0.0.0/0"), ("192.0.2.1", "192.0.2.1/32"),
            ("192.0.2.1/32", "192.0.2.1/32"), ("2001:db8::/32", "2001:db8::/32"), ("::/0", "::/0"),
            ("2001:DB8:0::1", "2001:db8::1/128"), ("2001:db8::8000:0:0:0/65", "2001:db8:0:0:8000::/65"),
            ("2001:db8:0:1::/64", "2001:db8:0:1::/64"), ("fe00::/7", "fe00::/7"),
        ])
    func parses(text: String, printed: String) throws {
        #expect(try CIDR(text).description == printed)
    }

    @Test(
        "What is no address",
        arguments: [
            "", "/8", "10.0.0/8", "10.0.0.0.0", "host", "10.0.0.0 /8", " 10.0.0.0/8", "10.1.2.256", "[::1]", "::1%lo",
        ])
    func refusesText(text: String) {
        let error = #expect(throws: CIDRError.self) { try CIDR(text) }
        #expect(error == .notAnAddress(found: text))
        #expect(
            error?.description
                == "found \"\(text)\"; accepted are an IPv4 or IPv6 address and a range such as 10.0.0.0/8 or 2001:db8::/32"
        )
    }

    @Test(
        "What is no prefix length",
        arguments: [
            ("10.0.0.0/", 32), ("10.0.0.0/33", 32), ("10.0.0.0/-1", 32), ("10.0.0.0/+8", 32), ("10.0.0.0/8/8", 32),
            ("10.0.0.0/ 8", 32), ("10.0.0.0/256", 32), ("10.0.0.0/255.0.0.0", 32), ("::/129", 128),
        ] as [(String, UInt8)])
    func refusesPrefixLength(text: String, maximum: UInt8) {
        let error = #expect(throws: CIDRError.self) { try CIDR(text) }
        #expect(error == .badPrefixLength(found: text, maximum: maximum))
        #expect(
            error?.description == "found \"\(text)\"; accepted behind the slash is a prefix length from 0 to \(maximum)"
        )
    }

    @Test(
        "Bits behind the prefix, and the network that was meant",
        arguments: [
            ("10.1.2.3/8", "10.0.0.0/8"), ("10.0.0.1/31", "10.0.0.0/31"), ("1.0.0.0/0", "0.0.0.0/0"),
            ("2001:db8::1/32", "2001:db8::/32"), ("2001:db8::1/127", "2001:db8::/127"),
            ("2001:db8:0:1::/63", "2001:db8::/63"),
        ])
    func refusesHostBits(text: String, network: String) throws {
        let error = #expect(throws: CIDRError.self) { try CIDR(text) }
        let meant = try CIDR(network)
        #expect(error == .hostBitsSet(found: text, network: meant))
        let address = text.prefix { $0 != "/" }
        #expect(
            error?.description == "found \"\(text)\", which has bits set behind the prefix; the network is \(network), "
                + "the address alone \(address)")
    }

    @Test("A range contains its first and last address and no neighbour, at every length")
    func containsItsAddresses() throws {
        var generator = SplitMix64(seed: structureSeed)
        for width: UInt8 in [32, 128] {
            for length in 0...width {
                let address = AddressNumber(random: width, using: &generator)
                let (range, first, last) = (
                    CIDR(of: address.ip, prefixLength: length), address.first(length), address.last(length)
                )
                #expect(range.network == first.ip, "\(structureSeedNote)")
                for inside in [address, first, last] {
                    #expect(range.contains(inside.ip), "\(range) \(structureSeedNote)")
                }
                for outside in [first.before, last.after].compactMap({ $0 }) {
                    #expect(!range.contains(outside.ip), "\(range) \(structureSeedNote)")
                }
                #expect(!range.contains(width == 32 ? IPAddress(v6High: 0, low: address.ip.low) : IPAddress(v4: 0)))
            }
        }
    }
}

/// An address as a number, to find the neighbours of a range.
struct AddressNumber: Hashable {
    let value: UInt128
    let width: UInt8

    init(_ value: UInt128, width: UInt8) {
        self.value = value
        self.width = width
    }

    init(_ ip: IPAddress) {
        self.init(UInt128(ip.high) << 64 | UInt128(ip.low), width: ip.family == .ipv4 ? 32 : 128)
    }

    init(random width: UInt8, using generator: inout SplitMix64) {
        self.init(UInt128.random(in: 0...(UInt128.max >> UInt128(128 - width)), using: &generator), width: width)
    }

    var ip: IPAddress {
        width == 32
            ? IPAddress(v4: UInt32(value))
            : IPAddress(v6High: UInt64(value >> 64), low: UInt64(truncatingIfNeeded: value))
    }

    private var largest: UInt128 { UInt128.max >> UInt128(128 - width) }

    private func hostBits(_ length: UInt8) -> UInt128 { length == width ? 0 : largest >> UInt128(length) }

    func first(_ length: UInt8) -> AddressNumber { AddressNumber(value & ~hostBits(length), width: width) }

    func last(_ length: UInt8) -> AddressNumber { AddressNumber(value | hostBits(length), width: width) }

    var before: AddressNumber? { value == 0 ? nil : AddressNumber(value - 1, width: width) }

    var after: AddressNumber? { value == largest ? nil : AddressNumber(value + 1, width: width) }
}
