import Foundation
import PlaneTestKit
import STUN
import Testing

@testable import DataPlaneXDP

@Suite("Which destinations leave alike")
struct DestinationClassesTests {
    private func prefix(_ address: String, _ length: UInt8) -> DestinationClasses.Prefix {
        DestinationClasses.Prefix(address: ip(address), length: length)
    }

    @Test("The narrowest prefix around an address names its class")
    func narrowest() {
        let classes = DestinationClasses([
            prefix("0.0.0.0", 0): 0, prefix("10.0.0.0", 8): 0, prefix("10.1.0.0", 16): 0, prefix("10.1.2.3", 32): 1400,
            prefix("2001:db8::", 32): 0, prefix("2001:db8:0:1::", 64): 0, prefix("2001:db8:0:1::7", 128): 0,
        ])
        #expect(classes.prefix(around: ip("192.0.2.1")) == prefix("0.0.0.0", 0))
        #expect(classes.prefix(around: ip("10.2.0.1")) == prefix("10.0.0.0", 8))
        #expect(classes.prefix(around: ip("10.1.2.4")) == prefix("10.1.0.0", 16))
        #expect(classes.prefix(around: ip("10.1.2.3")) == prefix("10.1.2.3", 32))
        #expect(classes.prefix(around: ip("2001:db8:0:1::8")) == prefix("2001:db8:0:1::", 64))
        #expect(classes.prefix(around: ip("2001:db8:0:1::7")) == prefix("2001:db8:0:1::7", 128))
        #expect(classes.prefix(around: ip("2001:db8:0:2::7")) == prefix("2001:db8::", 32))
        // Nobody named the prefix of everything.
        #expect(classes.prefix(around: ip("2001:db9::7")) == prefix("::", 0))
    }

    @Test("Masks clear what lies behind them", arguments: 0...128 as ClosedRange<UInt8>)
    func masks(length: UInt8) {
        let all = IPAddress(v6High: .max, low: .max).masked(to: length)
        #expect(all.high.nonzeroBitCount + all.low.nonzeroBitCount == Int(length))
        #expect(all.high.leadingZeroBitCount == (length == 0 ? 64 : 0))
        if length <= 32 {
            #expect(IPAddress(v4: .max).masked(to: length).low.nonzeroBitCount == Int(length))
        }
    }

    @Test(
        "A finder that shares its answers says what one that asks each time says, as routes and neighbours change",
        .enabled(if: TestNamespace.isAllowed, "making network namespaces needs root"))
    func sharedAnswers() throws {
        let namespace = try RouteHost.namespace()
        try namespace.command("address", "add", "2001:db8::1/64", "dev", "x0", "nodad")
        try namespace.command("route", "add", "203.0.113.0/24", "via", "192.0.2.253", "mtu", "1400")
        try namespace.command("neigh", "add", "192.0.2.253", "lladdr", "02:00:00:00:00:0b", "dev", "x0")
        try namespace.command("neigh", "add", "192.0.2.7", "lladdr", "02:00:00:00:00:0c", "dev", "x0")
        // A gateway that no prefix but its own route's names.
        try namespace.command("route", "add", "198.18.0.0/16", "via", "198.18.0.9", "dev", "x0", "onlink")
        try namespace.command("neigh", "add", "198.18.0.9", "lladdr", "02:00:00:00:00:0d", "dev", "x0")
        try namespace.command("-6", "route", "add", "default", "via", "2001:db8::fe")
        try namespace.command("-6", "neigh", "add", "2001:db8::fe", "lladdr", "02:00:00:00:00:0e", "dev", "x0")
        let ways = [
            "198.51.100.1", "198.51.100.2", "203.0.113.1", "203.0.113.2", "192.0.2.7", "192.0.2.8", "192.0.2.254",
            "198.18.0.9", "198.18.0.10", "192.0.2.1", "2001:db8:1::1", "2001:db8:1::2", "2001:db8::fe",
        ].map { text in
            let source = ip(text.contains(":") ? "2001:db8::1" : "192.0.2.1")
            return Way(arrival: source, source: source, destination: ip(text), isHandedOver: false)
        }
        try namespace.inside {
            let interface = try #require(NetworkInterface(name: "x0"))
            var sharing = try WayFinder(.read(attachedTo: [interface.index]), looksUp: true)
            defer { sharing.close() }
            try #require(sharing.classes != nil)
            #expect(Self.found(by: &sharing, ways) == (try Self.asked(ways, interface)))
            #expect(sharing.find(ways[0]).nextHop?.destination == MACAddress((2, 0, 0, 0, 0, 0x0A)))
            #expect(sharing.find(ways[2]).nextHop?.mtu == 1400)

            try namespace.command("route", "add", "198.51.100.2/32", "via", "192.0.2.253")
            try namespace.command("neigh", "change", "192.0.2.254", "lladdr", "02:00:00:00:00:1a", "dev", "x0")
            sharing.follow(DestinationClasses.read())
            sharing.forget([ip("192.0.2.254")])
            #expect(Self.found(by: &sharing, ways) == (try Self.asked(ways, interface)))
            #expect(sharing.find(ways[0]).nextHop?.destination == MACAddress((2, 0, 0, 0, 0, 0x1A)))
            #expect(sharing.find(ways[1]).nextHop?.destination == MACAddress((2, 0, 0, 0, 0, 0x0B)))
        }
    }

    @Test(
        "IPv6 keeps to the interface's MTU of IPv6, which may be smaller and changes without a notice",
        .enabled(if: TestNamespace.isAllowed && Kernel.isAvailable, "needs root"))
    func ipv6MTU() throws {
        let namespace = try RouteHost.namespace()
        try namespace.command("address", "add", "2001:db8::1/64", "dev", "x0", "nodad")
        try namespace.command("-6", "neigh", "add", "2001:db8::7", "lladdr", "02:00:00:00:00:0e", "dev", "x0")
        try namespace.command("-6", "neigh", "add", "2001:db8::8", "lladdr", "02:00:00:00:00:0f", "dev", "x0")
        try namespace.command("-6", "route", "add", "2001:db8::8/128", "dev", "x0", "mtu", "1290")
        func way(_ source: String, _ destination: String) -> Way {
            Way(arrival: ip(source), source: ip(source), destination: ip(destination), isHandedOver: false)
        }
        let ways = [
            way("192.0.2.1", "192.0.2.254"), way("2001:db8::1", "2001:db8::7"), way("2001:db8::1", "2001:db8::8"),
        ]
        try namespace.inside {
            let session = try XDPSession(XDPOptions(serving: ip("192.0.2.1"), on: "x0"))
            try session.prepare()
            defer { session.detachIfUnused() }
            var finder = try WayFinder(session.withTable { $0.finder.surroundings }, looksUp: true)
            defer { finder.close() }
            func mtus() -> [UInt16?] { Self.found(by: &finder, ways).map { $0.nextHop?.mtu } }
            #expect(mtus() == [1500, 1500, 1290])
            try "1400".write(toFile: "/proc/sys/net/ipv6/conf/x0/mtu", atomically: false, encoding: .utf8)
            session.followExceptions(&finder) { false }
            #expect(mtus() == [1500, 1400, 1290])
            #expect(finder.surroundings == session.withTable { $0.finder.surroundings })
        }
    }

    @Test(
        "What neighbours were listed as is used until they are told of; who came since is asked for",
        .enabled(if: TestNamespace.isAllowed, "making network namespaces needs root"))
    func listedNeighbours() throws {
        let namespace = try RouteHost.namespace()
        try namespace.command("neigh", "add", "192.0.2.7", "lladdr", "02:00:00:00:00:0c", "dev", "x0")
        try namespace.command("neigh", "add", "192.0.2.8", "lladdr", "02:00:00:00:00:0d", "dev", "x0")
        try namespace.command("neigh", "add", "192.0.2.9", "lladdr", "02:00:00:00:00:0e", "dev", "x0", "nud", "failed")
        try namespace.command("address", "add", "2001:db8::1/64", "dev", "x0", "nodad")
        try namespace.command("-6", "neigh", "add", "2001:db8::7", "lladdr", "02:00:00:00:00:0f", "dev", "x0")
        let texts = ["192.0.2.254", "192.0.2.7", "192.0.2.8", "192.0.2.9", "192.0.2.10", "2001:db8::7"]
        let ways = texts.map { text in
            let source = ip(text.contains(":") ? "2001:db8::1" : "192.0.2.1")
            return Way(arrival: source, source: source, destination: ip(text), isHandedOver: false)
        }
        try namespace.inside {
            let interface = try #require(NetworkInterface(name: "x0"))
            let listed = KnownNeighbours.read(on: [interface.index])
            // The kernel has some of its own, for groups.
            #expect(listed.count >= 4)
            let gateway = RouteTable.Neighbour(address: ip("192.0.2.254"), interfaceIndex: interface.index)
            #expect(listed[gateway] == MACAddress((2, 0, 0, 0, 0, 0x0A)))
            #expect(KnownNeighbours.read(on: [interface.index + 1]).count == 0)
            var finder = try WayFinder(.read(attachedTo: [interface.index]), looksUp: true)
            defer { finder.close() }
            finder.follow(listed)
            let before = Self.found(by: &finder, ways)
            #expect(before == (try Self.asked(ways, interface)))
            #expect(before.map { $0.nextHop != nil } == [true, true, true, false, false, true])

            try namespace.command("neigh", "change", "192.0.2.254", "lladdr", "02:00:00:00:00:1a", "dev", "x0")
            try namespace.command("neigh", "del", "192.0.2.7", "dev", "x0")
            try namespace.command("neigh", "change", "192.0.2.9", "lladdr", "02:00:00:00:00:1e", "dev", "x0")
            try namespace.command("neigh", "add", "192.0.2.10", "lladdr", "02:00:00:00:00:1f", "dev", "x0")
            try namespace.command("-6", "neigh", "change", "2001:db8::7", "lladdr", "02:00:00:00:00:2f", "dev", "x0")
            // Nobody has told: the listing holds, and who was not on it is asked for.
            let meanwhile = Self.found(by: &finder, ways)
            #expect(meanwhile.map { $0.nextHop != nil } == [true, true, true, true, true, true])
            #expect(meanwhile[0] == before[0])
            finder.forget([ip("192.0.2.254"), ip("192.0.2.7"), ip("2001:db8::7")])
            let after = Self.found(by: &finder, ways)
            #expect(after == (try Self.asked(ways, interface)))
            #expect(after.map { $0.nextHop != nil } == [true, false, true, true, true, true])
            #expect(after[0].nextHop?.destination == MACAddress((2, 0, 0, 0, 0, 0x1A)))
        }
    }

    @Test(
        "Where a route has several next hops each destination is asked for",
        .enabled(if: TestNamespace.isAllowed, "making network namespaces needs root"))
    func unshared() throws {
        let namespace = try RouteHost.namespace()
        try namespace.inside { #expect(DestinationClasses.read() != nil) }
        try namespace.command(
            "route", "add", "203.0.113.0/24", "nexthop", "via", "192.0.2.253", "nexthop", "via", "192.0.2.252")
        try namespace.inside { #expect(DestinationClasses.read() == nil) }
    }

    @Test(
        "Where rules look at ports or the type of service, the program asks for each datagram",
        .enabled(if: TestNamespace.isAllowed, "making network namespaces needs root"),
        arguments: [["ipproto", "udp", "dport", "7000"], ["sport", "49152-65534"], ["tos", "0x10"]])
    func byDatagram(selector: [String]) throws {
        let namespace = try RouteHost.namespace()
        // Of no concern to UDP.
        try namespace.command("rule", "add", "ipproto", "tcp", "dport", "25", "lookup", "main")
        let way = Self.outward
        try namespace.inside {
            var finder = try RouteHost.finder()
            defer { finder.close() }
            #expect(finder.classes?.isByDatagram == false && finder.find(way).nextHop != nil)
            try namespace.command(["rule", "add"] + selector + ["lookup", "main"])
            finder.follow(DestinationClasses.read())
            #expect(finder.classes == .byDatagram && finder.find(way).nextHop == nil)
            #expect(finder.find(way).neighbour == ip("192.0.2.254"))
            try namespace.command(["rule", "delete"] + selector + ["lookup", "main"])
            finder.follow(DestinationClasses.read())
            #expect(finder.find(way).nextHop != nil)
        }
    }

    @Test(
        "A rule for UDP alone is asked for",
        .enabled(if: TestNamespace.isAllowed, "making network namespaces needs root"))
    func ruleOfUDP() throws {
        let namespace = try RouteHost.namespace()
        try namespace.command("rule", "add", "ipproto", "udp", "lookup", "100")
        try namespace.command("route", "add", "default", "via", "192.0.2.253", "table", "100")
        try namespace.command("neigh", "add", "192.0.2.253", "lladdr", "02:00:00:00:00:0b", "dev", "x0")
        let way = Self.outward
        try namespace.inside {
            var finder = try RouteHost.finder()
            defer { finder.close() }
            #expect(finder.find(way).nextHop?.destination == MACAddress((2, 0, 0, 0, 0, 0x0B)))
        }
    }

    /// By the router.
    private static let outward = Way(
        arrival: ip("192.0.2.1"), source: ip("192.0.2.1"), destination: ip("203.0.113.1"), isHandedOver: false)

    private static func found(by finder: inout WayFinder, _ ways: [Way]) -> [FoundWay] {
        ways.map { finder.find($0) }
    }

    /// By a finder that shares nothing.
    private static func asked(_ ways: [Way], _ interface: NetworkInterface) throws -> [FoundWay] {
        var asking = try WayFinder(.read(attachedTo: [interface.index]), looksUp: true)
        defer { asking.close() }
        return ways.map { way in
            asking.follow(nil)
            asking.follow(KnownNeighbours())
            return asking.find(way)
        }
    }
}
