import CRelayABI
import ReferenceRelay
import STUN
import Testing

@testable import DataPlaneXDP
@testable import RelayCore

@Suite("What is passed, unchanged and counted", .enabled(if: Kernel.isAvailable, "\(Kernel.reason)"))
struct PassTests {
    /// A frame that a route would take, and a way to spoil it.
    func expect(
        _ reason: relay_reason, _ verdict: Kernel.Verdict = .pass, in world: World, _ frame: [UInt8],
        _ location: SourceLocation = #_sourceLocation
    ) throws {
        let before = world.kernel.program.count(of: reason.rawValue)
        let outcome = try world.kernel.run(frame)
        #expect(outcome == Kernel.Outcome(verdict: verdict, bytes: frame), sourceLocation: location)
        let after = world.kernel.program.count(of: reason.rawValue)
        #expect(after.packets == before.packets + 1, "\(reason)", sourceLocation: location)
        #expect(after.bytes == before.bytes + UInt64(frame.count), "\(reason)", sourceLocation: location)
    }

    func fromClient(_ route: ReferenceRoute, _ count: Int = 20) -> Frame {
        Frame(
            from: route.route.client, to: route.route.server,
            data: channelData(route.route.channel.rawValue, [UInt8](repeating: 7, count: count)))
    }

    func fromPeer(_ route: ReferenceRoute) -> Frame {
        Frame(from: route.route.peer, to: route.route.relay, data: [1, 2, 3, 4, 5])
    }

    @Test("Without magic number and version everything is passed")
    func unconfigured() throws {
        var world = try World()
        let frame = fromClient(try world.addRoute(.ipv4, .ipv4)).bytes
        world.kernel.program.disable()
        try expect(RELAY_PASS_NOT_CONFIGURED, in: world, frame)
        let settings = try world.kernel.shareSettings()
        settings.pointee.magic = RELAY_MAGIC
        #expect(try world.kernel.run(frame).verdict == .transmit)
        for version in [RELAY_ABI_VERSION + 1, RELAY_ABI_VERSION - 1, 0] {
            settings.pointee.version = version
            try expect(RELAY_PASS_NOT_CONFIGURED, in: world, frame)
        }
        settings.pointee = relay_settings()
        try expect(RELAY_PASS_NOT_CONFIGURED, in: world, frame)
    }

    @Test("A spoiled IPv4 header does not leave as IPv6, which has no checksum; between IPv4 ends it stays spoiled")
    func badHeader() throws {
        var world = try World()
        let crossed = try world.addRoute(.ipv4, .ipv6), back = try world.addRoute(.ipv6, .ipv4)
        let hairpin = try world.addHairpin(.ipv4, .ipv6, relays: .ipv4)[0]
        let same = try world.addRoute(.ipv4, .ipv4)
        for frame in [fromClient(crossed), fromPeer(back), fromClient(hairpin)] {
            for error: UInt16 in [1, 0x0100, 0x8000, 0xFFFE] {
                var spoiled = frame
                spoiled.ipError = error
                try expect(RELAY_PASS_BAD_HEADER, in: world, spoiled.bytes)
            }
            #expect(try world.differences([frame]) == [])
            #expect(try world.kernel.run(frame.bytes).verdict == .transmit)
            // Any one bit that the program does not look at otherwise: traffic class, identification, time to live.
            for offset in [15, 18, 19, 22] {
                var bytes = frame.bytes
                bytes[offset] ^= 0x10
                try expect(RELAY_PASS_BAD_HEADER, in: world, bytes)
            }
        }
        for var frame in [fromClient(same), fromPeer(same)] {
            frame.ipError = 1
            #expect(try world.differences([frame]) == [])
            #expect(try world.kernel.run(frame.bytes).verdict == .transmit)
        }
    }

    @Test("Frames that are no plain IPv4 or IPv6 to this host")
    func links() throws {
        var world = try World()
        let good = fromClient(try world.addRoute(.ipv4, .ipv4)).bytes
        try expect(RELAY_PASS_NOT_IP, in: world, Array(good[0..<12]) + [0x08, 0x06] + good[14...])
        try expect(RELAY_PASS_VLAN, in: world, Array(good[0..<12]) + [0x81, 0x00, 0, 5] + good[12...])
        try expect(RELAY_PASS_VLAN, in: world, Array(good[0..<12]) + [0x88, 0xA8, 0, 5] + good[12...])
        for first: UInt8 in [0xFF, 0x01, 0x33] { try expect(RELAY_PASS_GROUP, in: world, [first] + good[1...]) }
        #expect(try world.kernel.run(good).verdict == .transmit)
    }

    @Test("IPv4 headers that are not understood")
    func ipv4() throws {
        var world = try World()
        let good = fromClient(try world.addRoute(.ipv4, .ipv4)).bytes
        try expect(RELAY_PASS_IPV4_OPTIONS, in: world, good.with(0x46, at: 14))
        try expect(RELAY_PASS_IPV4_OPTIONS, in: world, good.with(0x4F, at: 14))
        try expect(RELAY_PASS_BAD_LENGTH, in: world, good.with(0x65, at: 14))
        for (high, low): (UInt8, UInt8) in [(0x20, 0), (0x60, 0), (0, 1), (0x1F, 0xFF), (0x80, 0)] {
            try expect(RELAY_PASS_FRAGMENT, in: world, good.with(high, at: 20).with(low, at: 21))
        }
        for transport: UInt8 in [1, 6, 47, 136] {
            try expect(RELAY_PASS_NOT_UDP, in: world, good.with(transport, at: 23))
        }
        // Longer than the frame, shorter than a header, and shorter than UDP says.
        for length in [0, 19, good.count - 13, 0xFFFF] {
            var frame = good
            frame.set16(UInt16(length), at: 16)
            try expect(RELAY_PASS_BAD_LENGTH, in: world, frame)
        }
        try expect(RELAY_PASS_BAD_LENGTH, in: world, Array(good[0..<33]))
    }

    @Test("IPv6 headers that are not understood")
    func ipv6() throws {
        var world = try World()
        let good = fromClient(try world.addRoute(.ipv6, .ipv6)).bytes
        for header: UInt8 in [0, 43, 60] { try expect(RELAY_PASS_IPV6_EXTENSION, in: world, good.with(header, at: 20)) }
        try expect(RELAY_PASS_FRAGMENT, in: world, good.with(44, at: 20))
        for header: UInt8 in [6, 58, 50, 59] { try expect(RELAY_PASS_NOT_UDP, in: world, good.with(header, at: 20)) }
        try expect(RELAY_PASS_BAD_LENGTH, in: world, good.with(0x45, at: 14))
        for length in [good.count - 53, 0xFFFF, 7, 0] {
            var frame = good
            frame.set16(UInt16(length), at: 18)
            try expect(RELAY_PASS_BAD_LENGTH, in: world, frame)
        }
        try expect(RELAY_PASS_BAD_LENGTH, in: world, Array(good[0..<50]))
    }

    @Test("UDP lengths that contradict IP", arguments: AddressFamily.allCases)
    func udpLengths(family: AddressFamily) throws {
        var world = try World()
        let good = fromClient(try world.addRoute(family, .ipv4)).bytes
        let udp = family == .ipv4 ? 34 : 54
        for length in [0, 7, 8, good.count - udp - 1, good.count - udp + 1, 0xFFFF] {
            var frame = good
            frame.set16(UInt16(length), at: udp + 4)
            try expect(RELAY_PASS_BAD_LENGTH, in: world, frame)
        }
    }

    @Test("STUN, and other things than channel data", arguments: AddressFamily.allCases)
    func notChannelData(family: AddressFamily) throws {
        var world = try World()
        let route = try world.addRoute(family, .ipv4)
        for first: UInt8 in [0x00, 0x01, 0x3F, 0x80, 0xFF] {
            var frame = fromClient(route)
            frame.data[0] = first
            try expect(RELAY_PASS_NOT_CHANNEL_DATA, in: world, frame.bytes)
        }
        for count in 0..<4 {
            var frame = fromClient(route)
            frame.data = Array(frame.data.prefix(count))
            try expect(RELAY_PASS_NOT_CHANNEL_DATA, in: world, frame.bytes)
        }
        var reply = fromClient(route)
        reply.destination = TransportAddress(route.route.server.ip, port: 40_000)
        reply.source = TransportAddress(route.route.client.ip, port: 53)
        reply.data = [0x12, 0x34, 0x81, 0x80, 0, 1]
        try expect(RELAY_PASS_NOT_CHANNEL_DATA, in: world, reply.bytes)
    }

    @Test("Channel data whose length does not fit, or with more behind it than padding")
    func channelLengths() throws {
        var world = try World()
        let route = try world.addRoute(.ipv4, .ipv6)
        var frame = fromClient(route, 20)
        for length in [21, 22, 1000, 0xFFFF] {
            frame.data.set16(UInt16(length), at: 2)
            try expect(RELAY_PASS_BAD_LENGTH, in: world, frame.bytes)
        }
        for length in [0, 1, 15, 16] {
            frame.data.set16(UInt16(length), at: 2)
            try expect(RELAY_PASS_PADDING, in: world, frame.bytes)
        }
    }

    @Test("Clients and peers that have no route, each by one difference in the five-tuple")
    func strangers() throws {
        var world = try World()
        for family in AddressFamily.allCases {
            let route = try world.addRoute(family, family)
            let others = [
                World.peer(family, port: 9), World.server(family), world.client(family), world.relayed(family),
            ]
            for other in others {
                var frame = fromClient(route)
                frame.source = other
                try expect(RELAY_PASS_NO_CHANNEL, in: world, frame.bytes)
                frame = fromPeer(route)
                frame.source = other
                try expect(RELAY_PASS_NO_PEER, in: world, frame.bytes)
            }
            var frame = fromClient(route)
            frame.destination = TransportAddress(World.server(family).ip, port: 3479)
            try expect(RELAY_PASS_NO_CHANNEL, in: world, frame.bytes)
            frame.destination = TransportAddress(World.peer(family).ip, port: 3478)
            try expect(RELAY_PASS_NO_CHANNEL, in: world, frame.bytes)
            frame = fromClient(route)
            frame.data[1] ^= 1
            try expect(RELAY_PASS_NO_CHANNEL, in: world, frame.bytes)
            frame = fromPeer(route)
            frame.destination = TransportAddress(route.route.relay.ip, port: route.route.relay.port + 1)
            try expect(RELAY_PASS_NO_PEER, in: world, frame.bytes)
            frame.destination = TransportAddress(World.peer(family).ip, port: route.route.relay.port)
            try expect(RELAY_PASS_NO_PEER, in: world, frame.bytes)
        }
    }

    @Test("A lease that is over, on either leg of a hairpin too")
    func leases() throws {
        var world = try World()
        let route = try world.addRoute(.ipv4, .ipv6, isOver: true)
        try expect(RELAY_PASS_LEASE_OVER, in: world, fromClient(route).bytes)
        try expect(RELAY_PASS_LEASE_OVER, in: world, fromPeer(route).bytes)
        let (one, two) = (world.relayed(.ipv4), world.relayed(.ipv4))
        let first = try world.add(client: world.client(.ipv4), relay: one, peer: two)
        let second = try world.add(client: world.client(.ipv4), relay: two, peer: one, isOver: true)
        try expect(RELAY_PASS_LEASE_OVER, in: world, fromClient(first).bytes)
        try expect(RELAY_PASS_LEASE_OVER, in: world, fromClient(second).bytes)
    }

    @Test("The lease is compared with the kernel's clock")
    func leaseClock() throws {
        let world = try World()
        let now = UInt32(try world.kernel.program.ticks() >> UInt64(RELAY_LEASE_SHIFT))
        let kernel = world.kernel
        let route = Route(
            id: RouteID(index: 0), client: at("198.51.100.1:9"), server: World.server4,
            channel: channel(0x4000), relay: TransportAddress(World.relay4, port: 50_000),
            peer: World.peer(.ipv4), until: Instant(nanoseconds: 0))
        let hop = kernel.addNextHop(
            ReferenceHop(mtu: 1500, destination: [2, 0, 0, 0, 0, 3], source: [2, 0, 0, 0, 0, 4]))
        let entry = Direction.toPeer(route).entry(lease: now + 1000, nextHop: hop, flags: 0, seed: Kernel.seed)
        let inserted = kernel.table.insert(entry)
        let slot = try #require(inserted)
        let frame = Frame(from: route.client, to: route.server, data: channelData(0x4000, [1])).bytes
        #expect(try kernel.run(frame).verdict == .transmit)
        kernel.table.setLease(slot, now)
        #expect(try kernel.run(frame).verdict == .pass)
        kernel.table.setLease(slot, now + 1000)
        #expect(try kernel.run(frame).verdict == .transmit)
        kernel.table.remove(slot)
        try expect(RELAY_PASS_NO_CHANNEL, in: world, frame)
    }

    @Test("No UDP checksum is fine between IPv4 ends only")
    func noChecksum() throws {
        var world = try World()
        for (client, peer) in [(AddressFamily.ipv4, AddressFamily.ipv6), (.ipv6, .ipv4), (.ipv6, .ipv6)] {
            let route = try world.addRoute(client, peer)
            for var frame in [fromClient(route), fromPeer(route)] {
                frame.hasChecksum = false
                try expect(RELAY_PASS_NO_CHECKSUM, in: world, frame.bytes)
            }
        }
        let route = try world.addRoute(.ipv4, .ipv4)
        for var frame in [fromClient(route), fromPeer(route)] {
            frame.hasChecksum = false
            #expect(try world.differences([frame]) == [])
            #expect(try world.kernel.run(frame.bytes).verdict == .transmit)
        }
    }

    @Test("Results larger than the MTU of the way out; one byte less leaves")
    func tooBig() throws {
        var world = try World()
        for (client, peer) in [(AddressFamily.ipv4, AddressFamily.ipv6), (.ipv6, .ipv4), (.ipv4, .ipv4)] {
            let route = try world.addRoute(client, peer, mtu: 400)
            let headers = peer == .ipv4 ? 28 : 48
            try expect(RELAY_PASS_TOO_BIG, in: world, fromClient(route, 401 - headers).bytes)
            #expect(try world.kernel.run(fromClient(route, 400 - headers).bytes).verdict == .transmit)
        }
    }

    @Test("Routes without a next hop wait for one; swapping addresses and the kernel's tables are options")
    func nextHops() throws {
        for (flags, verdict) in [(UInt32(0), Kernel.Verdict.pass), (RELAY_SWAP_NEXT_HOP.rawValue, .transmit)] {
            let kernel = try Kernel(flags: flags)
            let route = Route(
                id: RouteID(index: 0), client: at("198.51.100.1:9"), server: World.server4,
                channel: channel(0x4000), relay: TransportAddress(World.relay4, port: 50_000),
                peer: World.peer(.ipv4), until: Instant(nanoseconds: 0))
            _ = kernel.table.insert(
                Direction.toPeer(route).entry(lease: .max, nextHop: 0, flags: 0, seed: Kernel.seed))
            let frame = Frame(from: route.client, to: route.server, data: channelData(0x4000, [1])).bytes
            let outcome = try kernel.run(frame)
            #expect(outcome.verdict == verdict)
            if verdict == .transmit {
                #expect(Array(outcome.bytes[0..<12]) == Array(frame[6..<12] + frame[0..<6]))
                let big = Frame(
                    from: route.client, to: route.server, data: channelData(0x4000, [UInt8](repeating: 0, count: 1473)))
                #expect(try kernel.run(big.bytes).verdict == .pass)
                #expect(kernel.packets(RELAY_PASS_TOO_BIG) == 1)
            } else {
                #expect(kernel.packets(RELAY_PASS_NO_NEXT_HOP) == 1)
            }
        }
    }

    @Test("A hairpin whose other end has no channel")
    func noHairpin() throws {
        var world = try World()
        for family in AddressFamily.allCases {
            let route = try world.add(
                client: world.client(.ipv4), relay: world.relayed(family), peer: world.relayed(family))
            try expect(RELAY_PASS_NO_HAIRPIN, in: world, fromClient(route).bytes)
        }
    }

    @Test("A datagram at the end of its life is dropped; what would have been passed still is")
    func timeToLive() throws {
        var world = try World()
        for family in AddressFamily.allCases {
            let route = try world.addRoute(family, .ipv4)
            var frame = fromClient(route)
            for hops: UInt8 in [0, 1] {
                frame.timeToLive = hops
                try expect(RELAY_DROP_TTL, .drop, in: world, frame.bytes)
            }
            frame.timeToLive = 2
            #expect(try world.differences([frame]) == [])
            frame.timeToLive = 1
            frame.source = TransportAddress(frame.source.ip, port: 1)
            try expect(RELAY_PASS_NO_CHANNEL, in: world, frame.bytes)
        }
    }

    @Test("Frames cut off at any length pass as they are", arguments: AddressFamily.allCases)
    func truncated(family: AddressFamily) throws {
        var world = try World()
        let good = fromClient(try world.addRoute(family, .ipv4)).bytes
        for count in 14..<good.count {
            let frame = Array(good[0..<count])
            #expect(try world.kernel.run(frame) == Kernel.Outcome(verdict: .pass, bytes: frame), "\(count) bytes")
        }
    }
}

extension [UInt8] {
    fileprivate func with(_ byte: UInt8, at offset: Int) -> [UInt8] {
        var bytes = self
        bytes[offset] = byte
        return bytes
    }
}
