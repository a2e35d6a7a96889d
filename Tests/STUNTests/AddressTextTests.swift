import STUN
import TestSeed
import Testing

@Suite("Addresses as text")
struct AddressTextTests {
    @Test(
        "IPv6 is printed as RFC 5952 says and read in any form",
        arguments: [
            ("::", "::"), ("::1", "::1"), ("2001:db8::", "2001:db8::"), ("1::", "1::"),
            ("2001:DB8:0:0:0:0:2:1", "2001:db8::2:1"),
            ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
            ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
            ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"),
            ("0:0:0:0:0:0:0:1", "::1"), ("1:0:0:0:0:0:0:0", "1::"), ("0001:0002:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"),
            ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"), ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.1"), ("::ffff:c000:201", "::ffff:192.0.2.1"),
            ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"), ("1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ])
    func v6(read: String, printed: String) throws {
        let address = try #require(IPAddress(read))
        #expect(address.family == .ipv6)
        #expect(address.description == printed)
        #expect(IPAddress(printed) == address)
    }

    @Test("IPv6 has its bits in their places")
    func bits() {
        #expect(
            IPAddress("1:2:3:4:5:6:7:8") == IPAddress(v6High: 0x0001_0002_0003_0004, low: 0x0005_0006_0007_0008))
        #expect(IPAddress("192.0.2.1") == IPAddress(v4: 0xC000_0201))
        #expect(IPAddress("::ffff:192.0.2.1") != IPAddress("192.0.2.1"))
    }

    @Test("IPv4", arguments: ["0.0.0.0", "255.255.255.255", "192.0.2.1", "10.0.100.200"])
    func v4(text: String) throws {
        let address = try #require(IPAddress(text))
        #expect(address.family == .ipv4)
        #expect(address.description == text)
    }

    @Test(
        "What is no address is refused",
        arguments: [
            "", "1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.", ".1.2.3", "1..2.3", "1.2.3.4 ",
            "+1.2.3.4",
            "-1.2.3.4", "0x1.2.3.4", "1.2.3.4/8", "١.2.3.4", ":", ":::", "1::2::3", "1:2:3:4:5:6:7", ":1:2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7:8:", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8", "12345::", "g::",
            "1.2.3.4::", "::1.2.3.4:5", "::1.2.3", "fe80::1%eth0", "[::1]", "1:2:3:4:5:6:7:1.2.3.4",
        ])
    func refused(text: String) {
        #expect(IPAddress(text) == nil)
    }

    @Test("Transport addresses", arguments: ["192.0.2.1:0", "192.0.2.1:65535", "[::1]:3478", "[2001:db8::1]:1"])
    func transport(text: String) throws {
        let address = try #require(TransportAddress(text))
        #expect(address.description == text)
    }

    @Test(
        "What is no transport address is refused",
        arguments: [
            "", ":", "192.0.2.1", "192.0.2.1:", "192.0.2.1:65536", "192.0.2.1:-1", "192.0.2.1:03478", "[192.0.2.1]:1",
            "::1:3478", "[::1]", "[::1]3478", "[::1]:", "[]:1", "[:1", "host:1", "[::1]:1 ", "[::1:1",
        ])
    func transportRefused(text: String) {
        #expect(TransportAddress(text) == nil)
    }

    @Test("Random addresses survive being printed")
    func random() {
        var generator = SeededGenerator(seed: testSeed)
        for _ in 0..<2_000 {
            // Groups are often zero, so that there are runs to compress.
            let halves = (0..<2).map { _ in
                (0..<4).reduce(UInt64(0)) { half, _ in
                    half << 16 | (generator.below(2) == 0 ? 0 : generator.next() & 0xFFFF)
                }
            }
            let v6 = IPAddress(v6High: halves[0], low: halves[1])
            let v4 = IPAddress(v4: UInt32(truncatingIfNeeded: generator.next()))
            for address in [v4, v6] where IPAddress(address.description) != address {
                Issue.record("\(address), RELAYD_TEST_SEED=\(testSeed)")
            }
        }
    }
}
