import CLinux
import PlaneTestKit
import RelayCore
import RelayWorker
import STUN
import Testing

/// What the seam promises besides relaying.
@Suite(.serialized) struct SeamTests {
    @Test(arguments: PlaneUnderTest.usable)
    func aSignalWakesAWaitWithoutEnd(_ plane: PlaneUnderTest) throws {
        let relay = try TestRelay(plane)
        _ = try relay.listen(at: "127.0.0.1")
        WakeDescriptor.signal(relay.wakeDescriptor)
        #expect(try relay.io.receive(until: nil) == 0)
    }

    /// Closing a socket may wait for the end of its receive, and must not take the signal along.
    @Test(arguments: PlaneUnderTest.usable)
    func aSignalOutlivesTheEndOfASocket(_ plane: PlaneUnderTest) throws {
        let relay = try TestRelay(plane)
        let slot = try relay.openRelay(at: "127.0.0.1")
        for _ in 0..<2 { try relay.turn() }
        WakeDescriptor.signal(relay.wakeDescriptor)
        relay.close(slot)
        let start = relay.io.now().monotonic
        #expect(try relay.io.receive(until: start.advanced(bySeconds: 5)) == 0)
        #expect(relay.io.now().monotonic < start.advanced(bySeconds: 1))
    }

    @Test(arguments: PlaneUnderTest.usable)
    func aPastDeadlineDoesNotWait(_ plane: PlaneUnderTest) throws {
        let relay = try TestRelay(plane)
        _ = try relay.listen(at: "127.0.0.1")
        #expect(try relay.io.receive(until: Instant(nanoseconds: 0)) == 0)
    }

    @Test(arguments: PlaneUnderTest.usable, AddressFamily.allCases)
    func anUnreachablePortIsReported(_ plane: PlaneUnderTest, _ family: AddressFamily) throws {
        let relay = try TestRelay(plane)
        let slot = try relay.openRelay(at: family.loopback)
        let closed = try { try TestSocket(family.loopback).address }()
        let peer = try TestSocket(family.loopback)
        relay.io.send(([1, 2, 3] as [UInt8]).span.bytes, from: slot, to: closed, dontFragment: false)
        try relay.io.flush()
        var report: ICMPReport?
        // A polling thread may need more than one.
        for _ in 0..<50 where report == nil {
            try relay.turn()
            report = relay.io.nextReport()
        }
        #expect(report?.slot == slot)
        #expect(report?.peer == closed)
        let expected =
            family == .ipv4 ? ICMPAttribute(type: 3, code: 3, data: 0) : ICMPAttribute(type: 1, code: 4, data: 0)
        #expect(report?.error == expected)
        #expect(relay.io.nextReport() == nil)
        relay.io.send(([4] as [UInt8]).span.bytes, from: slot, to: peer.address, dontFragment: false)
        try relay.io.flush()
        #expect(peer.receive()?.bytes == [4])
    }

    @Test(arguments: PlaneUnderTest.prompt)
    func aReadErrorNoLongerWakes(_ plane: PlaneUnderTest) throws {
        let relay = try TestRelay(plane)
        let slot = try relay.openRelay(at: "127.0.0.1")
        let closed = try { try TestSocket().address }()
        let epoll = clinux_epoll_create()
        defer { _ = clinux_close(epoll) }
        var event = epoll_event()
        #expect(clinux_epoll_add(epoll, relay.sockets[slot].descriptor, 1) == 0)
        relay.io.send(([0] as [UInt8]).span.bytes, from: slot, to: closed, dontFragment: false)
        try relay.io.flush()
        #expect(clinux_epoll_wait(epoll, &event, 1, 0, true) == 1)
        try relay.turn()
        #expect(clinux_epoll_wait(epoll, &event, 1, 0, true) == 0)
    }

    @Test(arguments: PlaneUnderTest.usable)
    func aPendingErrorDoesNotCostTheNextDatagram(_ plane: PlaneUnderTest) throws {
        let relay = try TestRelay(plane)
        let slot = try relay.openRelay(at: "127.0.0.1")
        let closed = try { try TestSocket().address }()
        let peer = try TestSocket()
        for round in 0..<10 {
            relay.io.send(([0] as [UInt8]).span.bytes, from: slot, to: closed, dontFragment: false)
            try relay.io.flush()
            relay.io.send([UInt8(round)].span.bytes, from: slot, to: peer.address, dontFragment: false)
            try relay.io.flush()
        }
        #expect(peer.receiveAll().map(\.bytes) == (0..<10).map { [UInt8($0)] })
        #expect(relay.io.counters.sendRefused == 0)
    }

    @Test(arguments: PlaneUnderTest.usable)
    func reportsOfASocketThatWentAreForgotten(_ plane: PlaneUnderTest) throws {
        let relay = try TestRelay(plane)
        let slot = try relay.openRelay(at: "127.0.0.1")
        let closed = try { try TestSocket().address }()
        relay.io.send(([0] as [UInt8]).span.bytes, from: slot, to: closed, dontFragment: false)
        try relay.io.flush()
        try relay.turn()
        relay.close(slot)
        #expect(relay.io.nextReport() == nil)
    }

    @Test(arguments: PlaneUnderTest.prompt)
    func aBatchOutlivesItsSocket(_ plane: PlaneUnderTest) throws {
        let relay = try TestRelay(plane)
        let slot = try relay.openRelay(at: "127.0.0.1")
        let peer = try TestSocket()
        for value in 0..<3 { peer.send([UInt8(value), 9], to: relay.address(of: slot)) }
        #expect(try relay.io.receive(until: relay.io.now().monotonic.advanced(bySeconds: 2)) == 3)
        relay.close(slot)
        for value in 0..<3 {
            #expect(relay.io.arrival(value).slot == slot)
            #expect(relay.io.arrival(value).source == peer.address)
            #expect(relay.io.payload(value) == [UInt8(value), 9])
            relay.io.release(value)
        }
    }

    @Test(arguments: PlaneUnderTest.usable)
    func whatWasNotPresentedGoesWithItsSocket(_ plane: PlaneUnderTest) throws {
        let relay = try TestRelay(plane)
        let slot = try relay.openRelay(at: "127.0.0.1")
        let peer = try TestSocket()
        for _ in 0..<3 {
            peer.send([UInt8](repeating: 1, count: 400), to: relay.address(of: slot), segment: 10)
        }
        let presented = try relay.io.receive(until: relay.io.now().monotonic.advanced(bySeconds: 2))
        #expect((1...64).contains(presented))
        relay.close(slot)
        let successor = try relay.openRelay(at: "127.0.0.1")
        #expect(successor == slot)
        #expect(try relay.io.receive(until: Instant(nanoseconds: 0)) == 0)
    }

    @Test(arguments: PlaneUnderTest.usable)
    func aBufferOfManySegmentsIsPresentedInBatches(_ plane: PlaneUnderTest) throws {
        let relay = try TestRelay(plane)
        let slot = try relay.openRelay(at: "127.0.0.1")
        let peer = try TestSocket()
        let numbers = (0..<60).map { UInt8($0) }
        for _ in 0..<3 { peer.send(numbers, to: relay.address(of: slot), segment: 1) }
        var values: [UInt8] = []
        for _ in 0..<10 where values.count < 180 {
            let count = try relay.io.receive(until: relay.io.now().monotonic.advanced(byMilliseconds: 100))
            #expect(count <= 64)
            for index in 0..<count { values += relay.io.payload(index) }
        }
        #expect(values == numbers + numbers + numbers)
    }

    @Test(arguments: PlaneUnderTest.prompt)
    func aBusyListenerDoesNotStarveRelaySockets(_ plane: PlaneUnderTest) throws {
        let relay = try TestRelay(plane)
        let listener = try relay.listen(at: "127.0.0.1")
        let slot = try relay.openRelay(at: "127.0.0.1")
        let client = try TestSocket()
        for _ in 0..<500 { client.send([1], to: relay.address(of: listener)) }
        client.send([2], to: relay.address(of: slot))
        let count = try relay.io.receive(until: nil)
        #expect((0..<count).contains { relay.io.arrival($0).slot == slot })
        #expect((0..<count).contains { relay.io.arrival($0).slot == listener })
    }

    @Test(arguments: PlaneUnderTest.prompt)
    func busyRelaySocketsDoNotStarveTheListenerOrEachOther(_ plane: PlaneUnderTest) throws {
        let relay = try TestRelay(plane)
        let listener = try relay.listen(at: "127.0.0.1")
        let busy = try (0..<10).map { _ in try relay.openRelay(at: "127.0.0.1") }
        let client = try TestSocket()
        for slot in busy { for _ in 0..<100 { client.send([1], to: relay.address(of: slot)) } }
        client.send([2], to: relay.address(of: listener))
        var seen: Set<UInt32> = []
        // Half of the turns that all of it takes; one socket after the other would have shown five of them.
        for _ in 0..<8 {
            let count = try relay.io.receive(until: nil)
            for index in 0..<count { seen.insert(relay.io.arrival(index).slot.index) }
        }
        #expect(seen.count == busy.count + 1)
    }

    @Test(arguments: PlaneUnderTest.usable)
    func aThousandReadyRelaySocketsDoNotStarveTheListener(_ plane: PlaneUnderTest) throws {
        try SystemSockets.raiseDescriptorLimit()
        let relay = try TestRelay(plane)
        let listener = try relay.listen(at: "127.0.0.1")
        let crowd = try (0..<1_000).map { _ in try relay.openRelay(at: "127.0.0.1") }
        let client = try TestSocket()
        // Watched before anything comes, so that all of it is news.
        for _ in 0..<10 { try relay.turn() }
        for slot in crowd { client.send([1], to: relay.address(of: slot)) }
        for _ in 0..<600 { client.send([2], to: relay.address(of: listener)) }
        var ofListener = 0
        for _ in 0..<200 where ofListener < 600 {
            let count = try relay.io.receive(until: relay.io.now().monotonic.advanced(byMilliseconds: 100))
            for index in 0..<count {
                let slot = relay.io.arrival(index).slot
                if slot == listener {
                    ofListener += 1
                } else {
                    // Every one of the crowd is ready again at once.
                    client.send([1], to: relay.address(of: slot))
                }
            }
            try relay.io.flush()
        }
        #expect(ofListener == 600)
    }

    @Test(arguments: PlaneUnderTest.usable)
    func aThousandSocketsComeAndGo(_ plane: PlaneUnderTest) throws {
        try SystemSockets.raiseDescriptorLimit()
        let relay = try TestRelay(plane, bufferBytes: nil)
        let peer = try TestSocket()
        for round in 0..<2 {
            let slots = try (0..<1_000).map { _ in try relay.openRelay(at: "127.0.0.1") }
            #expect(Set(slots.map(\.index)).count == 1_000)
            for slot in slots { peer.send([UInt8(round)], to: relay.address(of: slot)) }
            var seen: Set<UInt32> = []
            for _ in 0..<1_000 where seen.count < 1_000 {
                let count = try relay.io.receive(until: relay.io.now().monotonic.advanced(byMilliseconds: 20))
                for index in 0..<count {
                    #expect(relay.io.payload(index) == [UInt8(round)])
                    seen.insert(relay.io.arrival(index).slot.index)
                }
            }
            #expect(seen.count == 1_000)
            for slot in slots { relay.close(slot) }
        }
        #expect(try relay.io.receive(until: Instant(nanoseconds: 0)) == 0)
    }

    @Test(arguments: PlaneUnderTest.prompt)
    func everyDropOfTheKernelIsCounted(_ plane: PlaneUnderTest) throws {
        let relay = try TestRelay(plane, bufferBytes: 8_000)
        let slot = try relay.openRelay(at: "127.0.0.1")
        let peer = try TestSocket()
        for _ in 0..<200 { peer.send([UInt8](repeating: 0, count: 500), to: relay.address(of: slot)) }
        var received = 0
        for _ in 0..<20 { received += try relay.io.receive(until: Instant(nanoseconds: 0)) }
        #expect(received < 200)
        // The total comes with the next datagram that finds room.
        peer.send([1], to: relay.address(of: slot))
        #expect(try relay.io.receive(until: relay.io.now().monotonic.advanced(bySeconds: 2)) == 1)
        #expect(relay.io.counters.receiveQueueDrops == UInt64(200 - received))
    }

    @Test(arguments: PlaneUnderTest.usable)
    func moreThanTheQueueHoldsGoesOut(_ plane: PlaneUnderTest) throws {
        let relay = try TestRelay(plane)
        let slot = try relay.openRelay(at: "127.0.0.1")
        let peer = try TestSocket()
        for value in 0..<300 {
            relay.io.send([UInt8(value & 0xFF)].span.bytes, from: slot, to: peer.address, dontFragment: false)
        }
        let large = [UInt8](repeating: 5, count: 60_000)
        for _ in 0..<10 { relay.io.send(large.span.bytes, from: slot, to: peer.address, dontFragment: false) }
        try relay.io.flush()
        let arrived = peer.receiveAll().map(\.bytes)
        #expect(arrived.prefix(300).elementsEqual((0..<300).map { [UInt8($0 & 0xFF)] }))
        #expect(arrived.dropFirst(300).elementsEqual([[UInt8]](repeating: large, count: 10)))
    }

    @Test(arguments: PlaneUnderTest.usable)
    func anImpossibleDestinationDoesNotEndSegmentation(_ plane: PlaneUnderTest) throws {
        let relay = try TestRelay(plane)
        let slot = try relay.openRelay(at: "127.0.0.1")
        let peer = try TestSocket()
        let payload = [UInt8](repeating: 3, count: 50)
        for destination in [TransportAddress("127.0.0.1", 0), peer.address] {
            for _ in 0..<4 { relay.io.send(payload.span.bytes, from: slot, to: destination, dontFragment: false) }
        }
        try relay.io.flush()
        #expect(relay.io.counters.sendRefused == 4)
        #expect(relay.io.counters.segmentationRefused == 0)
        #expect(peer.receiveAll().map(\.bytes) == [[UInt8]](repeating: payload, count: 4))
        let calls = relay.io.counters.sendCalls
        for _ in 0..<4 { relay.io.send(payload.span.bytes, from: slot, to: peer.address, dontFragment: false) }
        try relay.io.flush()
        #expect(relay.io.counters.sendCalls == calls + 1)
    }

    @Test(arguments: PlaneUnderTest.usable)
    func theWrongFamilyIsRefusedNotSent(_ plane: PlaneUnderTest) throws {
        let relay = try TestRelay(plane)
        let slot = try relay.openRelay(at: "127.0.0.1")
        relay.io.send(([1] as [UInt8]).span.bytes, from: slot, to: TransportAddress("::1", 9), dontFragment: false)
        try relay.io.flush()
        #expect(relay.io.counters.sendRefused == 1)
        #expect(relay.io.counters.sendCalls == 0)
    }
}
