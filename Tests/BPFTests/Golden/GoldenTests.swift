import CRelayABI
import ReferenceRelay
import STUN
import Testing

@testable import DataPlaneXDP
@testable import RelayCore

@Suite("Golden frames", .enabled(if: Kernel.isAvailable, "\(Kernel.reason)"))
struct GoldenTests {
    private static let client = [AddressFamily.ipv4: at("198.51.100.7:40000"), .ipv6: at("[2001:db8:c::7]:40001")]
    private static let server = [AddressFamily.ipv4: at("192.0.2.1:3478"), .ipv6: at("[2001:db8::1]:3478")]
    private static let relay = [AddressFamily.ipv4: at("192.0.2.1:50000"), .ipv6: at("[2001:db8::2]:50001")]
    private static let peer = [AddressFamily.ipv4: at("203.0.113.9:7000"), .ipv6: at("[2001:db8:2::9]:7001")]
    private static let other = [AddressFamily.ipv4: at("198.51.100.8:41000"), .ipv6: at("[2001:db8:c::8]:41001")]
    private static let otherRelay = [AddressFamily.ipv4: at("192.0.2.1:60000"), .ipv6: at("[2001:db8::2]:60001")]

    @Test("Each of the twelve paths, byte by byte", arguments: GoldenPath.ipv4 + GoldenPath.ipv6)
    func path(golden: GoldenPath) throws {
        let kernel = try Kernel()
        let hop = kernel.addNextHop(
            ReferenceHop(mtu: 1500, destination: [2, 0, 0, 0, 1, 1], source: [2, 0, 0, 0, 1, 2]))
        for (direction, flags) in try directions(of: golden) {
            var entry = direction.entry(lease: .max, nextHop: hop, flags: UInt8(flags), seed: Kernel.seed)
            if entry.line.out_version == 6 { entry.line.flow_label = UInt32(0xABCDE).bigEndian }
            try #require(kernel.table.insert(entry) != nil)
        }
        let outcome = try kernel.run(golden.arriving)
        #expect(outcome == Kernel.Outcome(verdict: .transmit, bytes: golden.leaving))
    }

    @Test("There is one for each path")
    func count() {
        #expect(Set((GoldenPath.ipv4 + GoldenPath.ipv6).map(\.testDescription)).count == 12)
    }

    /// The directions that the frame travels, with their flags.
    private func directions(of golden: GoldenPath) throws -> [(Direction, flags: UInt32)] {
        guard golden.from.kind == .channel, golden.to.kind == .channel else {
            let isUp = golden.from.kind == .channel
            let route = try route(
                client: Self.client[isUp ? golden.from.family : golden.to.family],
                server: Self.server[isUp ? golden.from.family : golden.to.family], channel: 0x4001,
                relay: Self.relay[isUp ? golden.to.family : golden.from.family],
                peer: Self.peer[isUp ? golden.to.family : golden.from.family])
            return [(.toPeer(route), 0), (.toClient(route), 0)]
        }
        // The family of the relayed addresses does not show.
        let one = try route(
            client: Self.client[golden.from.family], server: Self.server[golden.from.family], channel: 0x4001,
            relay: Self.relay[.ipv4], peer: Self.otherRelay[.ipv4])
        let two = try route(
            client: Self.other[golden.to.family], server: Self.server[golden.to.family], channel: 0x4FFF,
            relay: Self.otherRelay[.ipv4], peer: Self.relay[.ipv4])
        return [(.toPeer(one), RELAY_HAIRPIN.rawValue), (.toClient(two), RELAY_INSIDE.rawValue)]
    }

    private func route(
        client: TransportAddress?, server: TransportAddress?, channel number: UInt16, relay: TransportAddress?,
        peer: TransportAddress?
    ) throws -> Route {
        Route(
            id: RouteID(index: 0), client: try #require(client), server: try #require(server),
            channel: channel(number), relay: try #require(relay), peer: try #require(peer),
            until: Instant(nanoseconds: 0))
    }
}
