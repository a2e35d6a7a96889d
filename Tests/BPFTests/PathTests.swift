import CRelayABI
import ReferenceRelay
import STUN
import Testing

@testable import DataPlaneXDP
@testable import RelayCore

@Suite("The twelve paths", .enabled(if: Kernel.isAvailable, "\(Kernel.reason)"))
struct PathTests {
    /// Payload lengths from nothing to the largest that fits, thinned out in the middle.
    private static let lengths = Array(0...70) + Array(stride(from: 71, to: 1400, by: 61)) + Array(1400...1480)

    private func frames(to route: ReferenceRoute, fromClient: Bool, _ length: Int, padding: Int = 0) -> Frame {
        let payload = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ length) }
        var frame =
            fromClient
            ? Frame(
                from: route.route.client, to: route.route.server,
                data: channelData(
                    route.route.channel.rawValue, payload, padding: (0..<padding).map { UInt8(0xA0 + $0) }))
            : Frame(from: route.route.peer, to: route.route.relay, data: payload)
        frame.trafficClass = 0xB9
        frame.identification = 0x1234
        frame.dontFragment = length % 2 == 0
        return frame
    }

    @Test(
        "Channel data to UDP and UDP to channel data, in all families", arguments: AddressFamily.allCases,
        AddressFamily.allCases)
    func relaying(client: AddressFamily, peer: AddressFamily) throws {
        var world = try World()
        let route = try world.addRoute(client, peer)
        for length in Self.lengths {
            for padding in 0...3 {
                #expect(try world.differences([frames(to: route, fromClient: true, length, padding: padding)]) == [])
            }
            #expect(try world.differences([frames(to: route, fromClient: false, length)]) == [])
        }
        let up = (client == .ipv6 ? 8 : 0) + 4 + (peer == .ipv6 ? 2 : 0)
        let down = (peer == .ipv6 ? 8 : 0) + (client == .ipv6 ? 2 : 0) + 1
        #expect(world.kernel.program.count(of: UInt32(up)).packets > 500)
        #expect(world.kernel.program.count(of: UInt32(down)).packets > 100)
    }

    @Test(
        "Channel data to channel data, in all families, over relayed addresses of both",
        arguments: AddressFamily.allCases, AddressFamily.allCases)
    func hairpin(one: AddressFamily, two: AddressFamily) throws {
        for relays in AddressFamily.allCases {
            var world = try World()
            let routes = try world.addHairpin(one, two, relays: relays)
            for length in Self.lengths {
                for padding in 0...3 {
                    for route in routes {
                        #expect(
                            try world.differences([frames(to: route, fromClient: true, length, padding: padding)]) == []
                        )
                    }
                }
            }
            let path = (one == .ipv6 ? 8 : 0) + 4 + (two == .ipv6 ? 2 : 0) + 1
            #expect(world.kernel.program.count(of: UInt32(path)).packets > 500)
        }
    }

    @Test("A source that is a relayed address of ours does not come in from outside")
    func inside() throws {
        var world = try World()
        let routes = try world.addHairpin(.ipv4, .ipv4, relays: .ipv4)
        let frame = Frame(from: routes[0].route.relay, to: routes[1].route.relay, data: [1, 2, 3])
        #expect(try world.kernel.run(frame.bytes).verdict == .pass)
        #expect(world.kernel.packets(RELAY_PASS_NO_PEER) == 1)
    }

    @Test("What lies behind the packet in the frame is cut off")
    func trailers() throws {
        var world = try World()
        for (client, peer) in [(AddressFamily.ipv4, AddressFamily.ipv4), (.ipv6, .ipv4), (.ipv4, .ipv6)] {
            let route = try world.addRoute(client, peer)
            for trailer in [1, 4, 18, 46, 200] {
                for fromClient in [true, false] {
                    var frame = frames(to: route, fromClient: fromClient, 5, padding: fromClient ? 3 : 0)
                    frame.trailer = (0..<trailer).map { UInt8($0) }
                    #expect(try world.differences([frame]) == [])
                }
            }
        }
    }

    @Test("What a route carried is in its entry")
    func traffic() throws {
        var world = try World()
        let kernel = world.kernel
        let route = try world.addRoute(.ipv4, .ipv4)
        let slots = try kernel.install(
            ReferenceRoute(
                Route(
                    id: RouteID(index: 9), client: world.client(.ipv6), server: World.server6,
                    channel: channel(0x4000), relay: world.relayed(.ipv4),
                    peer: World.peer(.ipv4), until: Instant(nanoseconds: 0)),
                toPeer: route.toPeer, toClient: route.toClient, flowLabelToPeer: 1, flowLabelToClient: 1), relays: [])
        let client = TransportAddress(ip("2001:db8:1::7"), port: 2002)
        for length in [10, 20, 30] {
            let frame = Frame(
                from: client, to: World.server6, data: channelData(0x4000, [UInt8](repeating: 1, count: length)))
            #expect(try kernel.run(frame.bytes).verdict == .transmit)
        }
        #expect(kernel.table.traffic(slots[0]) == 3 << 40 | 60)
        #expect(kernel.table.traffic(slots[1]) == 0)
    }
}
