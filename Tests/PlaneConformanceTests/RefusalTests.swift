import CLinux
import Glibc
import PlaneTestKit
import RelayCore
import RelayWorker
import STUN
import TestSeed
import Testing

/// What the kernel refuses: in network namespaces with small MTUs and silent neighbours.
@Suite(.serialized, .enabled(if: TestNamespace.isAllowed, "needs root and network namespaces"))
struct RefusalTests {
    /// A relay, a client and a peer on the loopback of a namespace.
    struct Stage {
        let namespace: TestNamespace
        let relay: TestRelay
        let listener: SocketSlot
        let client: TestSocket
        let peer: TestSocket
        let route: TestRelay.Route

        init(_ plane: PlaneUnderTest, _ family: AddressFamily, mtu: Int) throws {
            let namespace = try TestNamespace()
            try namespace.command("link", "set", "lo", "mtu", "\(mtu)")
            self.namespace = namespace
            relay = try TestRelay(plane, in: namespace)
            listener = try relay.listen(at: family.loopback)
            client = try namespace.inside { try TestSocket(family.loopback) }
            peer = try namespace.inside { try TestSocket(family.loopback) }
            route = try relay.bind(0x4001, from: client.address, at: listener, to: peer.address)
        }

        /// Sends payloads one by one, relays them and says what the peer got.
        func relay(_ payloads: [[UInt8]]) throws -> [[UInt8]] {
            for payload in payloads {
                client.send(channelData(0x4001, payload), to: relay.address(of: listener))
            }
            _ = try relay.relay(payloads.count)
            return peer.receiveAll().map(\.bytes)
        }
    }

    @Test(arguments: PlaneUnderTest.prompt, AddressFamily.allCases)
    func segmentsBeyondTheMTUGoOneByOne(_ plane: PlaneUnderTest, _ family: AddressFamily) throws {
        var generator = SeededGenerator()
        let stage = try Stage(plane, family, mtu: 1300)
        let large = (0..<10).map { _ in generator.bytes(1400) }
        #expect(try stage.relay(large) == large, "\(generator)")
        #expect(stage.relay.io.counters.segmentationRefused == 1)
        // It is not tried again for that size, but still for smaller ones.
        #expect(try stage.relay(large) == large, "\(generator)")
        #expect(stage.relay.io.counters.segmentationRefused == 1)
        let calls = stage.relay.io.counters.sendCalls
        let small = (0..<10).map { _ in generator.bytes(500) }
        #expect(try stage.relay(small) == small, "\(generator)")
        #expect(stage.relay.io.counters.sendCalls == calls + 1)
        #expect(stage.relay.io.counters.sentDatagrams == 30)
    }

    @Test(arguments: PlaneUnderTest.usable)
    func aSocketThatCannotSegmentLosesNothing(_ plane: PlaneUnderTest) throws {
        var generator = SeededGenerator()
        let stage = try Stage(plane, .ipv4, mtu: 1500)
        // Without checksums the kernel cuts nothing.
        #expect(
            clinux_set_option(stage.relay.sockets[stage.route.relay].descriptor, SOL_SOCKET, SO_NO_CHECK, 1) == 0)
        let payloads = (0..<10).map { _ in generator.bytes(300) }
        #expect(try stage.relay(payloads) == payloads, "\(generator)")
        #expect(stage.relay.io.counters.segmentationRefused == 1)
        // It is not tried again at once.
        #expect(try stage.relay(payloads) == payloads, "\(generator)")
        #expect(stage.relay.io.counters.segmentationRefused == 1)
    }

    @Test(arguments: PlaneUnderTest.usable)
    func aSmallMTUToOneDestinationConcernsNoOther(_ plane: PlaneUnderTest) throws {
        let near = try TestNamespace()
        let far = try TestNamespace()
        try near.command("link", "set", "lo", "mtu", "1300")
        try near.command("link", "add", "near", "type", "veth", "peer", "name", "far", "netns", far.name)
        for (namespace, device, ip) in [(near, "near", "10.9.8.1/24"), (far, "far", "10.9.8.2/24")] {
            try namespace.command("address", "add", ip, "dev", device)
            try namespace.command("link", "set", device, "up")
        }
        let narrow = try near.inside { try TestSocket() }
        let wide = try far.inside { try TestSocket("10.9.8.2") }
        let relay = try TestRelay(plane, in: near)
        let slot = try relay.openRelay(at: "0.0.0.0")
        #expect(try !Self.isPutTogether(4, from: slot, to: narrow, by: relay))
        #expect(relay.io.counters.segmentationRefused == 1)
        #expect(try Self.isPutTogether(4, from: slot, to: wide, by: relay))
        #expect(try !Self.isPutTogether(4, from: slot, to: narrow, by: relay))
        #expect(relay.io.counters.segmentationRefused == 1)
    }

    /// Whether so many datagrams of 1,400 bytes leave as one message, which a socket with GRO gets as one.
    private static func isPutTogether(
        _ count: Int, from slot: SocketSlot, to peer: TestSocket, by relay: TestRelay
    ) throws -> Bool {
        #expect(clinux_set_option(peer.descriptor, SOL_UDP, UDP_GRO, 1) >= 0)
        let payload = [UInt8](repeating: 7, count: 1_400)
        for _ in 0..<count { relay.io.send(payload.span.bytes, from: slot, to: peer.address, dontFragment: false) }
        try relay.io.flush()
        var sizes: [Int] = []
        while sizes.reduce(0, +) < count * 1_400, let next = peer.receive() { sizes.append(next.bytes.count) }
        #expect(sizes.reduce(0, +) == count * 1_400)
        return sizes == [count * 1_400]
    }

    /// Nobody answers on the link 10.9.8.0/24.
    private static func namespaceWithoutNeighbours() throws -> TestNamespace {
        let namespace = try TestNamespace()
        try namespace.command("link", "add", "near", "type", "veth", "peer", "name", "far")
        try namespace.command("address", "add", "10.9.8.1/24", "dev", "near")
        try namespace.command("link", "set", "near", "up")
        try namespace.command("link", "set", "far", "up")
        return namespace
    }

    /// What the ring itself sends: one message each of several sockets.
    @Test(arguments: PlaneUnderTest.usable)
    func severalFullSendQueuesDropAndGoOn(_ plane: PlaneUnderTest) throws {
        let namespace = try Self.namespaceWithoutNeighbours()
        let relay = try TestRelay(plane, segmentationOffload: false, bufferBytes: 5_000, in: namespace)
        let slots = try (0..<2).map { _ in try relay.openRelay(at: "0.0.0.0") }
        let peer = try namespace.inside { try TestSocket() }
        // Nobody answers ARP for this neighbour, so what goes there waits and fills the send buffers.
        let silent = TransportAddress("10.9.8.7", 9)
        let payload = [UInt8](repeating: 0, count: 1_000)
        for _ in 0..<50 {
            for slot in slots { relay.io.send(payload.span.bytes, from: slot, to: silent, dontFragment: false) }
            try relay.io.flush()
        }
        #expect(relay.io.counters.sendQueueFull > 0)
        #expect(relay.io.counters.sendQueueFull + relay.io.counters.sentDatagrams == 100)
        // By one submission a turn; what finds no room is not tried once more.
        #expect(relay.io.counters.sendCalls == (plane == .socket ? 100 : 50))
        let others = try (0..<2).map { _ in try relay.openRelay(at: "127.0.0.1") }
        for slot in others {
            relay.io.send(([1] as [UInt8]).span.bytes, from: slot, to: peer.address, dontFragment: false)
        }
        try relay.io.flush()
        for _ in others { #expect(peer.receive()?.bytes == [1]) }
    }

    @Test(arguments: PlaneUnderTest.usable, AddressFamily.allCases)
    func whatMustNotBeFragmentedIsReportedWithTheMTU(_ plane: PlaneUnderTest, _ family: AddressFamily) throws {
        let stage = try Stage(plane, family, mtu: 1300)
        let large = [UInt8](repeating: 1, count: 1400)
        let io = {
            stage.relay.io.send(large.span.bytes, from: stage.route.relay, to: stage.peer.address, dontFragment: $0)
        }
        io(true)
        try stage.relay.io.flush()
        #expect(stage.peer.receive(waitMilliseconds: 0) == nil)
        #expect(stage.relay.io.counters.sendTooBig == 1)
        let report = stage.relay.io.nextReport()
        #expect(report?.peer == stage.peer.address)
        let expected =
            family == .ipv4 ? ICMPAttribute(type: 3, code: 4, data: 1300) : ICMPAttribute(type: 2, code: 0, data: 1300)
        #expect(report?.error == expected)
        io(false)
        try stage.relay.io.flush()
        #expect(stage.peer.receive()?.bytes == large)
    }

    @Test(arguments: PlaneUnderTest.usable)
    func theDFBitIsSetForOneDatagramOnly(_ plane: PlaneUnderTest) throws {
        let stage = try Stage(plane, .ipv4, mtu: 1500)
        let raw = try stage.namespace.inside { socket(AF_INET, Int32(SOCK_RAW.rawValue), Int32(IPPROTO_UDP)) }
        #expect(raw >= 0)
        defer { _ = clinux_close(raw) }
        var flags: [Bool] = []
        for dontFragment in [false, true, false] {
            stage.relay.io.send(
                ([1] as [UInt8]).span.bytes, from: stage.route.relay, to: stage.peer.address, dontFragment: dontFragment
            )
            try stage.relay.io.flush()
            var packet = [UInt8](repeating: 0, count: 100)
            let count = recv(raw, &packet, packet.count, Int32(MSG_DONTWAIT))
            #expect(count == 29)
            flags.append(packet[6] & 0x40 != 0)
        }
        #expect(flags == [false, true, false])
    }

    @Test(arguments: PlaneUnderTest.usable)
    func aFullSendQueueDropsAndGoesOn(_ plane: PlaneUnderTest) throws {
        let namespace = try Self.namespaceWithoutNeighbours()
        let relay = try TestRelay(plane, segmentationOffload: false, bufferBytes: 5_000, in: namespace)
        let slot = try relay.openRelay(at: "0.0.0.0")
        let peer = try namespace.inside { try TestSocket() }
        // Nobody answers ARP for this neighbour, so what goes there waits and fills the send buffer.
        let silent = TransportAddress("10.9.8.7", 9)
        let payload = [UInt8](repeating: 0, count: 1_000)
        for _ in 0..<50 { relay.io.send(payload.span.bytes, from: slot, to: silent, dontFragment: false) }
        try relay.io.flush()
        #expect(relay.io.counters.sendQueueFull > 0)
        #expect(relay.io.counters.sendQueueFull + relay.io.counters.sentDatagrams == 50)
        let other = try relay.openRelay(at: "127.0.0.1")
        relay.io.send(([1] as [UInt8]).span.bytes, from: other, to: peer.address, dontFragment: false)
        try relay.io.flush()
        #expect(peer.receive()?.bytes == [1])
    }

    @Test(arguments: PlaneUnderTest.usable, [true, false])
    func acrossVethWithAndWithoutChecksumOffload(_ plane: PlaneUnderTest, _ offload: Bool) throws {
        var generator = SeededGenerator()
        let near = try TestNamespace()
        let far = try TestNamespace()
        try near.command("link", "add", "near", "type", "veth", "peer", "name", "far", "netns", far.name)
        for (namespace, device, ip) in [(near, "near", "10.9.8.1/24"), (far, "far", "10.9.8.2/24")] {
            try namespace.command("address", "add", ip, "dev", device)
            try namespace.command("link", "set", device, "up")
        }
        if !offload { try near.switchOffChecksums(of: "near") }
        let peer = try far.inside { try TestSocket("10.9.8.2") }
        let relay = try TestRelay(plane, in: near)
        let listener = try relay.listen(at: "127.0.0.1")
        let client = try near.inside { try TestSocket() }
        let slot = try relay.openRelay(at: "10.9.8.1")
        let route = try relay.bind(0x4001, from: client.address, at: listener, to: peer.address, over: slot)
        let payloads = (0..<30).map { _ in generator.bytes(1_200) }
        client.send(payloads.flatMap { channelData(0x4001, $0) }, to: relay.address(of: listener), segment: 1_204)
        #expect(try relay.relay(30) == 30)
        let there = (0..<30).compactMap { _ in peer.receive()?.bytes }
        #expect(there == payloads, "\(generator)")
        peer.send(payloads.flatMap { $0 }, to: route.relayAddress, segment: 1_200)
        #expect(try relay.relay(30) == 30)
        #expect(client.receiveAll().map(\.bytes) == payloads.map { channelData(0x4001, $0) }, "\(generator)")
    }
}
