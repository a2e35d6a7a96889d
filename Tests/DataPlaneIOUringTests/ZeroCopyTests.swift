import PlaneKit
import PlaneTestKit
import RelayCore
import RelayWorker
import STUN
import TestSeed
import Testing

@testable import DataPlaneIOUring

/// Sends by zero copy whose packets wait in the kernel: their next hop does not say where it is until it is asked to.
@Suite(
    .serialized, .enabled(if: TestNamespace.isAllowed, "needs root and network namespaces"),
    .enabled(if: PlaneUnderTest.usable.contains(.zeroCopyIOUring), "needs zero-copy sends; relayd doctor says why not"))
struct ZeroCopyTests {
    /// What came in by the ring, or by calls because the listener is busy, must stay as it is until it has left.
    @Test(arguments: [false, true])
    func aBufferIsNotFilledAgainBeforeItsSendHasLeft(_ isBusy: Bool) throws {
        var generator = SeededGenerator()
        let stage = try SilentStage()
        // The kernel holds some 200 KB for a neighbour that does not answer; every part of a packet counts as a page or two.
        let bursts = (0..<3).map { _ in (0..<8).map { _ in generator.bytes(1_200) } }
        if isBusy { for _ in 0..<60 { stage.sendJunk(datagrams: 1) } }
        for (number, burst) in bursts.enumerated() {
            stage.send(burst)
            try stage.relay(until: { stage.io.counters.sentDatagrams == 8 * (number + 1) })
        }
        #expect(stage.io.counters.sentDatagrams == 24)
        #expect(stage.io.pins.count > 0)
        let filledByCalls = Inbox.bufferCount..<stage.io.base.memory.bufferCount
        #expect(filledByCalls.contains { stage.io.pins.isPinned($0) } == isBusy)
        // Every buffer that is not kept away is filled several times.
        for _ in 0..<40 {
            for _ in 0..<20 { stage.sendJunk(datagrams: 8) }
            try stage.relay(turns: 4)
        }
        #expect(stage.io.pins.count > 0)
        try stage.answer()
        let arrived = (0..<24).map { _ in stage.peer.receive()?.bytes ?? [] }
        #expect(arrived == bursts.flatMap { $0 }, "\(generator)")
        try stage.relay(until: { stage.io.pins.count == 0 })
        #expect(stage.io.pins.count == 0)
        // The receives, and the watch of the wake-up descriptor.
        #expect(stage.io.ring.inFlightCount <= 3)
    }

    @Test func whatTheKernelStillHoldsDoesNotDelayAChangeOfPlane() throws {
        var generator = SeededGenerator()
        let stage = try SilentStage()
        let payloads = (0..<8).map { _ in generator.bytes(1_200) }
        stage.send(payloads)
        try stage.relay(until: { stage.io.counters.sentDatagrams == 8 })
        #expect(stage.io.pins.count == 1)
        stage.io.stopReceiving()
        #expect(stage.io.pins.count == 1)
        #expect(stage.io.ring.inFlightCount == 1)
        let delay = try stage.changePlanes()
        #expect(delay < Duration.milliseconds(300))
        // Its memory is gone too, but for what the packets refer to.
        try stage.answer()
        let arrived = payloads.indices.map { _ in stage.peer.receive()?.bytes ?? [] }
        #expect(arrived == payloads, "\(generator)")
    }

    @Test func smallAndScatteredMessagesAreCopied() throws {
        let stage = try SilentStage()
        stage.send((0..<3).map { _ in [UInt8](repeating: 7, count: 1_200) })
        try stage.relay(until: { stage.io.counters.sentDatagrams == 3 })
        // Each of them, with its header before it, is a fragment, and a packet takes 17.
        stage.send((0..<30).map { _ in [UInt8](repeating: 7, count: 300) })
        try stage.relay(until: { stage.io.counters.sentDatagrams == 33 })
        #expect(stage.io.counters.sentDatagrams == 33)
        #expect(stage.io.pins.count == 0)
    }
}

@Suite struct PinsTests {
    @Test func aBankIsAlwaysLeft() {
        var generator = SeededGenerator()
        var pins = Pins(bankCount: Pins.usualBankCount)
        var held: [Int] = []
        for _ in 0..<500 {
            if Bool.random(using: &generator), let place = held.indices.randomElement(using: &generator) {
                pins.unpin(held.remove(at: place))
            } else {
                let buffer = Int.random(
                    in: 0..<Inbox.bufferCount + pins.bankCount * Receiver.count, using: &generator)
                if pins.pin(buffer) { held.append(buffer) }
            }
            let first = Inbox.bufferCount + pins.freeBank * Receiver.count
            #expect(!held.contains { (first..<first + Receiver.count).contains($0) }, "\(generator)")
            #expect(pins.count == held.count, "\(generator)")
        }
        for buffer in 0..<Inbox.bufferCount { #expect(pins.isPinned(buffer) == held.contains(buffer)) }
    }

    /// The ring goes on receiving, however long a device keeps what was sent.
    @Test(arguments: [BufferGroup.listeners, .relays])
    func halfOfAGroupIsLeftToTheRing(_ group: BufferGroup) {
        var pins = Pins(bankCount: 1)
        let first = group.rawValue * BufferGroup.bufferCount
        var pinned: [Int] = []
        for buffer in first..<first + BufferGroup.bufferCount where pins.pin(buffer) { pinned.append(buffer) }
        let (half, next) = (BufferGroup.bufferCount / 2, first + BufferGroup.bufferCount / 2)
        #expect(pinned == Array(first..<next))
        #expect(pins.count == half)
        // One that is pinned takes no more away, and is given back by its last send.
        var answers = [pins.pin(first), pins.pin(next)]
        #expect(answers == [true, false])
        pins.unpin(first)
        answers = [pins.pin(next)]
        #expect(answers == [false])
        pins.unpin(first)
        answers = [pins.pin(next)]
        #expect(answers == [true])
        // The other group has its own half.
        answers = [pins.pin((first + BufferGroup.bufferCount) % Inbox.bufferCount)]
        #expect(answers == [true])
    }

    @Test func onlyTheLastBankIsRefused() {
        var pins = Pins(bankCount: 2)
        let (first, second) = (Inbox.bufferCount, Inbox.bufferCount + Receiver.count)
        var answers = [pins.pin(first), pins.pin(second), pins.pin(first + 1), pins.pin(0)]
        #expect(answers == [true, false, true, true])
        pins.unpin(first)
        answers = [pins.pin(second)]
        #expect(answers == [false])
        pins.unpin(first + 1)
        answers = [pins.pin(second)]
        #expect(answers == [true])
    }
}

/// A client on loopback, and a peer across a veth whose end does not answer ARP.
private final class SilentStage {
    var io: IOUringIO
    let peer: TestSocket
    private let near: TestNamespace
    private let far: TestNamespace
    private let client: TestSocket
    private let system = SystemSockets(receiveBufferBytes: 4 << 20, sendBufferBytes: 4 << 20)
    private let wake: Int32
    private let listener: SocketSlot
    private let relay: SocketSlot
    private let descriptors: [Int32]
    private static let hardwareAddress = "02:00:00:00:00:02"
    private static let channel: UInt16 = 0x4001

    init() throws {
        let (near, far) = (try TestNamespace(), try TestNamespace())
        try near.command("link", "add", "near", "type", "veth", "peer", "name", "far", "netns", far.name)
        try far.command("link", "set", "far", "address", Self.hardwareAddress, "arp", "off")
        for (namespace, device, ip) in [(near, "near", "10.9.8.1/24"), (far, "far", "10.9.8.2/24")] {
            try namespace.command("address", "add", ip, "dev", device)
            try namespace.command("link", "set", device, "up")
        }
        // It is not given up while the test runs.
        try near.command("ntable", "change", "name", "arp_cache", "dev", "near", "mcast_probes", "100")
        (self.near, self.far) = (near, far)
        peer = try far.inside { try TestSocket("10.9.8.2") }
        client = try near.inside { try TestSocket() }
        let system = system
        let (listening, relaying) = try near.inside {
            (
                try system.openListener(at: TransportAddress("127.0.0.1", 0)),
                try system.openRelay(at: TransportAddress("10.9.8.1", 0))
            )
        }
        descriptors = [listening, relaying]
        wake = try WakeDescriptor.open()
        var set = SocketSet(wakeDescriptor: wake)
        listener = set.insert(
            SocketEntry(
                descriptor: listening, role: .listener(isWildcard: false), local: TransportAddress(of: listening)))
        relay = set.insert(
            SocketEntry(descriptor: relaying, role: .relay, local: TransportAddress(of: relaying)))
        io = try IOUringIO(try IOUringPlane(features: .zeroCopy).probe())
        try io.attach(listener, of: set)
        try io.attach(relay, of: set)
    }

    deinit {
        for descriptor in descriptors { system.close(descriptor) }
        WakeDescriptor.close(wake)
    }

    /// Sends payloads of one size in one go, which come in as one buffer.
    func send(_ payloads: [[UInt8]]) {
        client.send(
            payloads.flatMap { channelData(Self.channel, $0) }, to: TransportAddress(of: descriptors[0]),
            segment: payloads[0].count + 4)
    }

    /// Sends what is not relayed.
    func sendJunk(datagrams: Int) {
        let junk = channelData(Self.channel + 1, [UInt8](repeating: 0xEE, count: 1_200))
        client.send(
            [UInt8]((0..<datagrams).map { _ in junk }.joined()), to: TransportAddress(of: descriptors[0]),
            segment: junk.count)
    }

    func relay(until isDone: () -> Bool) throws {
        for _ in 0..<200 {
            try relay(turns: 1)
            if isDone() { return }
        }
    }

    func relay(turns: Int) throws {
        for _ in 0..<turns {
            let count = try io.receive(until: io.now().monotonic.advanced(byMilliseconds: 20))
            for index in 0..<count where io.arrival(index).slot == listener && io.channel(of: index) == Self.channel {
                io.forward(
                    index,
                    Hop(
                        egress: relay, destination: peer.address, framing: .unwrap,
                        payloadByteCount: UInt16(io.bytes(index).byteCount - 4), route: RouteID(index: 0)))
            }
            try io.flush()
        }
    }

    /// Leaves the plane for another one of its kind, without any socket.
    /// - Returns: how long it took the old one to go.
    func changePlanes() throws -> Duration {
        let next = try IOUringIO(try IOUringPlane().probe())
        let start = ContinuousClock.now
        io = next
        return start.duration(to: ContinuousClock.now)
    }

    /// Lets the next hop be known: what waited for it leaves.
    func answer() throws {
        try near.command(
            "neighbour", "replace", "10.9.8.2", "lladdr", Self.hardwareAddress, "dev", "near", "nud", "permanent")
    }
}

extension IOUringIO {
    /// The channel number in front of a datagram.
    fileprivate func channel(of index: Int) -> UInt16 {
        let span = bytes(index)
        return span.unsafeLoad(fromByteOffset: 0, as: UInt16.self).bigEndian
    }
}
