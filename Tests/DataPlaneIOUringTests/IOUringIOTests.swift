import CIOUring
import Glibc
import PlaneKit
import PlaneTestKit
import RelayCore
import RelayWorker
import STUN
import TestSeed
import Testing

@testable import DataPlaneIOUring

/// What only this plane has: buffers that run out, receives that end, requests in flight.
@Suite(
    .serialized, .enabled(if: PlaneUnderTest.usable.contains(.ioUring), "needs io_uring; relayd doctor says why not"))
struct IOUringIOTests {
    @Test func buffersThatRunOutLoseNothing() throws {
        let relay = try TestRelay(.ioUring)
        let sender = try TestSocket()
        let slots = try (0..<20).map { _ in try relay.openRelay(at: "127.0.0.1") }
        for number in 0..<100 {
            for slot in slots { sender.send([UInt8(number), UInt8(slot.index)], to: relay.address(of: slot)) }
        }
        var next = [SocketSlot: UInt8]()
        var received = 0
        for _ in 0..<200 where received < 2_000 {
            let count = try relay.io.receive(until: relay.io.now().monotonic.advanced(byMilliseconds: 20))
            for index in 0..<count {
                let slot = relay.io.arrival(index).slot
                #expect(relay.io.payload(index) == [next[slot, default: 0], UInt8(slot.index)])
                next[slot, default: 0] += 1
                relay.io.release(index)
            }
            received += count
        }
        #expect(received == 2_000)
        #expect(relay.io.counters.receiveBufferShortages > 0)
    }

    @Test func emptyDatagramsDoNotEndIt() throws {
        let relay = try TestRelay(.ioUring)
        let slot = try relay.openRelay(at: "127.0.0.1")
        let peer = try TestSocket()
        for value in 0..<5 {
            peer.send([], to: relay.address(of: slot))
            peer.send([UInt8(value)], to: relay.address(of: slot))
        }
        var payloads: [[UInt8]] = []
        for _ in 0..<20 where payloads.count < 10 {
            let count = try relay.io.receive(until: relay.io.now().monotonic.advanced(byMilliseconds: 20))
            for index in 0..<count { payloads.append(relay.io.payload(index)) }
        }
        #expect(payloads == (0..<5).flatMap { [[], [UInt8($0)]] })
    }

    @Test func aFullFileTableIsARefusalOfOneSocket() throws {
        let relay = try TestRelay(.ioUring)
        let peer = try TestSocket()
        let slot = try relay.openRelay(at: "127.0.0.1")
        var sockets = SocketSet(wakeDescriptor: relay.wakeDescriptor)
        let entry = relay.sockets[slot]
        var last = slot
        for _ in 0..<140_000 { last = sockets.insert(entry) }
        let error = #expect(throws: PlaneError.self) { try relay.io.attach(last, of: sockets) }
        #expect(error?.why.contains("full") == true)
        peer.send([5], to: relay.address(of: slot))
        #expect(try relay.io.receive(until: relay.io.now().monotonic.advanced(bySeconds: 2)) == 1)
    }

    @Test func nothingStaysInFlight() throws {
        let features = try IOUringPlane().probe()
        let wake = try WakeDescriptor.open()
        defer { WakeDescriptor.close(wake) }
        var io = try IOUringIO(features)
        var set = SocketSet(wakeDescriptor: wake)
        let system = SystemSockets()
        let slots = try (0..<300).map { _ in
            set.insert(
                SocketEntry(
                    descriptor: try system.openRelay(at: TransportAddress("127.0.0.1", 0)), role: .relay,
                    local: TransportAddress("127.0.0.1", 0)))
        }
        for slot in slots { try io.attach(slot, of: set) }
        var count = 0
        for _ in 0..<4 { count += try io.receive(until: Instant(nanoseconds: 0)) }
        #expect(count == 0)
        // The receives, and the watch of the wake-up descriptor.
        #expect(io.ring.inFlightCount == 301)
        for slot in slots {
            io.detach(slot)
            system.close(set.remove(slot).descriptor)
        }
        _ = try io.receive(until: Instant(nanoseconds: 0))
        #expect(io.ring.inFlightCount == 1)
    }

    @Test func nothingIsInFlightWhenThePlaneIsLeft() throws {
        let flooded = try Flooded(datagrams: 100)
        _ = try flooded.receive()
        flooded.io.stopReceiving()
        #expect(flooded.io.ring.inFlightCount == 0)
        for _ in 0..<4 { _ = try flooded.receive() }
        #expect(flooded.io.ring.inFlightCount == 0)
    }

    /// The kernel takes rings apart in its own time; a socket that a ring kept would keep its port.
    @Test func aRingThatGoesKeepsNoPort() throws {
        let features = try IOUringPlane().probe()
        let wake = try WakeDescriptor.open()
        defer { WakeDescriptor.close(wake) }
        let system = SystemSockets()
        // An address that no other test binds to.
        let address = TransportAddress("127.7.8.9", UInt16.random(in: 20_000...30_000))
        var delays = 0
        for _ in 0..<100 {
            var descriptor: Int32?
            for attempt in 0..<1_000 where descriptor == nil {
                if attempt == 1 { delays += 1 }
                if attempt > 0 { usleep(1_000) }
                descriptor = try? system.openRelay(at: address)
            }
            let opened = try #require(descriptor)
            do {
                var set = SocketSet(wakeDescriptor: wake)
                let slot = set.insert(SocketEntry(descriptor: opened, role: .relay, local: address))
                var io = try IOUringIO(features)
                try io.attach(slot, of: set)
                for _ in 0..<2 { _ = try io.receive(until: Instant(nanoseconds: 0)) }
                #expect(io.ring.inFlightCount == 2)
            }
            system.close(opened)
        }
        // Children that other tests fork keep every descriptor until they have become another program.
        #expect(delays <= 10)
    }

    @Test(arguments: [0, Int32(MSG_TRUNC), Int32(MSG_CTRUNC)])
    func aHeadSaysWhetherItsPayloadWasCutOff(_ flags: Int32) throws {
        let memory = try PacketMemory(bufferCount: 1, frontByteCount: BufferHead.byteCount)
        memory.address(of: 0, byteCount: BufferHead.byteCount).storeBytes(
            of: ciouring_received(
                name_byte_count: 0, control_byte_count: 0, payload_byte_count: 10, flags: UInt32(flags)),
            as: ciouring_received.self)
        let head = BufferHead(ofBuffer: 0, in: memory, byteCount: BufferHead.byteCount + 10)
        #expect(head.payloadByteCount == 10)
        #expect(head.isTruncated == (flags == Int32(MSG_TRUNC)))
    }

    /// A flood is read by calls, in order, and the receive of the ring begins again when it has passed.
    @Test func aBusySocketIsReadByCallsUntilItHasNothingLeft() throws {
        let flooded = try Flooded(datagrams: 300)
        var next = 0
        var wasBusy = false
        for _ in 0..<200 where next < 300 {
            let count = try flooded.receive()
            wasBusy = wasBusy || flooded.io.watches[flooded.index].isBusy
            for index in 0..<count {
                #expect(flooded.number(of: index) == next)
                next += 1
            }
        }
        #expect(next == 300)
        #expect(wasBusy)
        for _ in 0..<2 { #expect(try flooded.io.receive(until: Instant(nanoseconds: 0)) == 0) }
        #expect(!flooded.io.watches[flooded.index].isBusy)
        // The receive, and the watch of the wake-up descriptor.
        #expect(flooded.io.ring.inFlightCount == 2)
        flooded.send(300)
        #expect(try flooded.receive() == 1)
        #expect(flooded.number(of: 0) == 300)
    }

    @Test func nothingOfABusySocketComesAfterItIsDetached() throws {
        let flooded = try Flooded(datagrams: 300)
        for _ in 0..<200 where !flooded.io.watches[flooded.index].isBusy { _ = try flooded.receive() }
        #expect(flooded.io.watches[flooded.index].isBusy)
        flooded.io.detach(flooded.slot)
        for _ in 0..<4 { #expect(try flooded.io.receive(until: Instant(nanoseconds: 0)) == 0) }
        #expect(flooded.io.ring.inFlightCount == 1)
    }

    /// While there is much to read of others, the kernel has no buffers: it says when a socket is ready, and no more.
    @Test(arguments: Flooded.planes)
    func aSocketThatIsEmptyUnderLoadIsReadWhenItIsReady(_ plane: PlaneUnderTest) throws {
        let flooded = try Flooded(datagrams: 300, on: plane)
        try flooded.emptyUnderLoad()
        let shortages = flooded.io.counters.receiveBufferShortages
        for _ in 0..<2 { #expect(try flooded.receive() == 0) }
        flooded.send(300)
        var count = 0
        for _ in 0..<50 where count == 0 { count = try flooded.receive() }
        #expect(count == 1)
        #expect(flooded.number(of: 0) == 300)
        #expect(flooded.io.counters.receiveBufferShortages == shortages)
        for _ in 0..<2 { #expect(try flooded.receive() == 0) }
        #expect(flooded.io.watches[flooded.index].request == .receive)
        #expect(flooded.io.ring.inFlightCount == 2)
    }

    @Test func anICMPErrorIsReportedWhileReadinessIsAwaited() throws {
        let flooded = try Flooded(datagrams: 300)
        try flooded.emptyUnderLoad()
        try flooded.sendToClosedPort()
        var report: ICMPReport?
        for _ in 0..<5 where report == nil {
            _ = try flooded.receive()
            report = flooded.io.nextReport()
        }
        #expect(report?.slot == flooded.slot)
    }

    @Test(arguments: Flooded.planes)
    func aSocketIsDetachedWhileItsReadinessIsAwaited(_ plane: PlaneUnderTest) throws {
        let flooded = try Flooded(datagrams: 300, on: plane)
        try flooded.emptyUnderLoad()
        flooded.io.detach(flooded.slot)
        #expect(flooded.io.ring.inFlightCount == 1)
        flooded.send(300)
        for _ in 0..<4 { #expect(try flooded.receive() == 0) }
    }

    @Test(arguments: Flooded.planes)
    func thePlaneIsLeftWhileReadinessIsAwaited(_ plane: PlaneUnderTest) throws {
        let flooded = try Flooded(datagrams: 300, on: plane)
        try flooded.emptyUnderLoad()
        flooded.io.stopReceiving()
        #expect(flooded.io.ring.inFlightCount == 0)
        #expect(try flooded.receive() == 0)
    }

    /// What the ring says of a listener would stand behind what it says of thousands of relay sockets.
    @Test func aListenerIsReadByCallsForAsLongAsThereIsMuchToRead() throws {
        let flooded = try Flooded(datagrams: 300, role: .listener(isWildcard: false))
        for _ in 0..<60 where !flooded.io.watches[flooded.index].isBusy { _ = try flooded.receive() }
        for _ in 0..<60 {
            flooded.io.wasLastReadFull = true
            _ = try flooded.receive()
            #expect(flooded.io.watches[flooded.index].isBusy)
        }
        for _ in 0..<3 { #expect(try flooded.receive() == 0) }
        #expect(flooded.io.watches[flooded.index].request == .receive)
    }

    @Test func tokensKeepTheirParts() {
        var generator = SeededGenerator()
        for kind in [Token.Kind.receive, .send, .wake, .cancel, .pinningSend, .readiness] {
            for _ in 0..<100 {
                let number = Int(UInt32.random(in: 0 ... .max, using: &generator))
                let generation = UInt32.random(in: 0...Token.generationMask, using: &generator)
                let token = Token(rawValue: Token(kind, number: number, generation: generation).rawValue)
                #expect(token.kind == kind, "\(generator)")
                #expect(token.number == number, "\(generator)")
                #expect(token.generation == generation, "\(generator)")
            }
        }
        for _ in 0..<100 {
            let message = Int.random(in: 0..<128, using: &generator)
            let buffer = Int.random(in: 0..<1_000, using: &generator)
            let token = Token(sending: message, by: 7, pinning: buffer)
            #expect(token.kind == .pinningSend && token.generation == 7)
            #expect(token.message == message, "\(generator)")
            #expect(token.pinnedBuffer == buffer, "\(generator)")
            #expect(Token(sending: message, by: 7, pinning: nil) == Token(.send, number: message, generation: 7))
        }
    }
}

/// A ring with one relay socket, to which numbered datagrams have been sent.
private final class Flooded {
    var io: IOUringIO
    let slot: SocketSlot
    private let system = SystemSockets(receiveBufferBytes: 4 << 20)
    private let wake: Int32
    private let descriptor: Int32
    private let sender: TestSocket

    var index: Int { Int(slot.index) }

    /// On which work is done in different ways.
    static var planes: [PlaneUnderTest] {
        PlaneUnderTest.usable.filter {
            [.ioUring, .cooperativeIOUring, .unregisteredIOUring, .pollingIOUring].contains($0)
        }
    }

    init(datagrams: Int, on plane: PlaneUnderTest = .ioUring, role: SocketEntry.Role = .relay) throws {
        wake = try WakeDescriptor.open()
        descriptor = try system.openRelay(at: TransportAddress("127.0.0.1", 0))
        sender = try TestSocket()
        var set = SocketSet(wakeDescriptor: wake)
        slot = set.insert(
            SocketEntry(descriptor: descriptor, role: role, local: TransportAddress(of: descriptor)))
        // Without GRO every datagram takes a buffer.
        io = try IOUringIO(try plane.ring(Offloads(receive: false)).probe())
        try io.attach(slot, of: set)
        for number in 0..<datagrams { send(number) }
    }

    deinit {
        system.close(descriptor)
        WakeDescriptor.close(wake)
    }

    func send(_ number: Int) {
        sender.send([UInt8(number >> 8), UInt8(number & 0xFF)], to: TransportAddress(of: descriptor))
    }

    /// Nothing takes it, so the socket gets an error.
    func sendToClosedPort() throws {
        let closed = try { try TestSocket().address }()
        io.send(([1] as [UInt8]).span.bytes, from: slot, to: closed, dontFragment: false)
        try io.flush()
    }

    func receive() throws -> Int {
        try io.receive(until: io.now().monotonic.advanced(byMilliseconds: 20))
    }

    /// Reads everything as if others filled every turn.
    func emptyUnderLoad() throws {
        for _ in 0..<200 where io.watches[index].request != .readiness {
            io.wasLastReadFull = true
            _ = try receive()
        }
        #expect(io.watches[index].request == .readiness)
    }

    /// The number of a received datagram.
    func number(of index: Int) -> Int {
        Int(io.firstWord(of: index))
    }
}

extension IOUringIO {
    /// The first two bytes of a datagram, as one number.
    fileprivate func firstWord(of index: Int) -> UInt16 {
        let span = bytes(index)
        return span.unsafeLoad(fromByteOffset: 0, as: UInt16.self).bigEndian
    }
}
