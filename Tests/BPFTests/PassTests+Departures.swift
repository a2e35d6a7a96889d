import CRelayABI
import Foundation
import PlaneTestKit
import ReferenceRelay
import STUN
import Testing

@testable import DataPlaneXDP
@testable import RelayCore

/// What keeps a frame that a route takes from leaving.
extension PassTests {
    @Test("A way out by an interface that the program may not send by")
    func forbiddenDeparture() throws {
        var world = try World()
        let route = try world.addRoute(.ipv4, .ipv4)
        let frame = fromClient(route).bytes
        #expect(try world.kernel.run(frame).verdict == .transmit)
        let hops = world.kernel.program.nextHops
        for index in 1...2 { hops[index].interface_index = 4_000_000 }
        try expect(RELAY_PASS_NO_NEXT_HOP, in: world, frame)
        try expect(RELAY_PASS_NO_NEXT_HOP, in: world, fromPeer(route).bytes)
    }

    @Test(
        "The kernel's own tables say what is too large, and where the rest leaves",
        .enabled(if: TestNamespace.isAllowed, "making network namespaces needs root"))
    func fragmentationNeeded() throws {
        let namespace = try RouteHost.namespace()
        try namespace.command("link", "set", "x0", "mtu", "1000")
        try namespace.inside {
            try "1".write(toFile: "/proc/sys/net/ipv4/conf/all/forwarding", atomically: false, encoding: .utf8)
            let interface = try #require(NetworkInterface(name: "x0"))
            let kernel = try Kernel(flags: RELAY_FIB_NEXT_HOP.rawValue)
            let route = World.route(client: .ipv4, peer: .ipv4)
            _ = kernel.table.insert(
                Direction.toPeer(route).entry(lease: .max, nextHop: 0, flags: 0, seed: Kernel.seed))
            func frame(_ count: Int) -> [UInt8] {
                Frame(
                    from: route.client, to: route.server,
                    data: channelData(route.channel.rawValue, [UInt8](repeating: 3, count: count))
                ).bytes
            }
            let big = frame(973)
            #expect(try kernel.run(big) == Kernel.Outcome(verdict: .pass, bytes: big))
            #expect(kernel.packets(RELAY_PASS_TOO_BIG) == 1)
            let largest = frame(972)
            #expect(try kernel.run(largest) == Kernel.Outcome(verdict: .pass, bytes: largest))
            #expect(kernel.packets(RELAY_PASS_NO_NEXT_HOP) == 1, "it may not leave by x0 yet")
            #expect(kernel.program.addDevice(interface.index) == 0)
            let left = try kernel.run(largest)
            #expect(left.verdict == .redirect)
            #expect(Array(left.bytes.prefix(6)) == [2, 0, 0, 0, 0, 0x0A])
        }
    }

    @Test(
        "The kernel's own tables are asked with a datagram's type of service",
        .enabled(if: TestNamespace.isAllowed, "making network namespaces needs root"),
        arguments: [AddressFamily.ipv4, .ipv6])
    func typeOfService(family: AddressFamily) throws {
        let namespace = try RouteHost.namespace()
        let (version, routers) =
            family == .ipv4 ? ("-4", ["192.0.2.254", "192.0.2.253"]) : ("-6", ["2001:db8::254", "2001:db8::253"])
        if family == .ipv6 {
            try namespace.command("address", "add", "2001:db8::1/64", "dev", "x0", "nodad")
            try namespace.command("neigh", "add", routers[0], "lladdr", "02:00:00:00:00:0a", "dev", "x0")
            try namespace.command("-6", "route", "add", "default", "via", routers[0], "dev", "x0")
        }
        try namespace.command("neigh", "add", routers[1], "lladdr", "02:00:00:00:00:0b", "dev", "x0")
        try namespace.command(version, "rule", "add", "tos", "0x10", "lookup", "100")
        try namespace.command(version, "route", "add", "default", "via", routers[1], "dev", "x0", "table", "100")
        try namespace.inside {
            let name = family == .ipv4 ? "ipv4" : "ipv6"
            try "1".write(toFile: "/proc/sys/net/\(name)/conf/all/forwarding", atomically: false, encoding: .utf8)
            let interface = try #require(NetworkInterface(name: "x0"))
            let kernel = try Kernel(flags: RELAY_FIB_NEXT_HOP.rawValue)
            #expect(kernel.program.addDevice(interface.index) == 0)
            let route = World.route(client: family, peer: family)
            _ = kernel.table.insert(
                Direction.toPeer(route).entry(lease: .max, nextHop: 0, flags: 0, seed: Kernel.seed))
            for (trafficClass, router) in [(0, 0x0A), (0x10, 0x0B)] as [(UInt8, UInt8)] {
                var frame = Frame(
                    from: route.client, to: route.server, data: channelData(route.channel.rawValue, [1, 2, 3, 4]))
                frame.trafficClass = trafficClass
                let left = try kernel.run(frame.bytes)
                #expect(left.verdict == .redirect)
                #expect(Array(left.bytes.prefix(6)) == [2, 0, 0, 0, 0, router], "type of service \(trafficClass)")
            }
        }
    }

    @Test("Frames without room for longer headers before them; those that need less leave")
    func headroom() throws {
        var world = try World()
        let grown = fromPeer(try world.addRoute(.ipv6, .ipv4)).bytes
        let hairpin = fromClient(try world.addHairpin(.ipv4, .ipv6, relays: .ipv4)[0]).bytes
        let fitting = fromClient(try world.addRoute(.ipv4, .ipv6)).bytes
        // Of the 256 bytes before a frame the kernel keeps some 40 for itself, so 200 of metadata leave 16.
        let metadata = [UInt8](repeating: 0xA5, count: 200)
        do {
            for frame in [grown, hairpin] {
                let before = world.kernel.packets(RELAY_PASS_NO_HEADROOM)
                let outcome = try world.kernel.run([metadata + frame], metadataByteCount: metadata.count)[0]
                #expect(outcome == Kernel.Outcome(verdict: .pass, bytes: metadata + frame))
                #expect(world.kernel.packets(RELAY_PASS_NO_HEADROOM) == before + 1)
            }
            let outcome = try world.kernel.run([metadata + fitting], metadataByteCount: metadata.count)[0]
            #expect(outcome.verdict == .transmit)
            #expect(outcome.bytes == metadata + (try world.kernel.run(fitting).bytes))
        } catch let refused as Kernel.Refused where refused.errno == EINVAL {
            try Test.cancel("this kernel gives frames less metadata than fills the headroom")
        }
    }
}
