import Glibc
import PlaneTestKit
import RelayCore
import RelayWorker
import STUN
import TestSeed
import Testing

/// Sockets that come and go, and planes that do, while datagrams flow.
@Suite(.serialized) struct LifeTests {
    @Test(arguments: PlaneUnderTest.usable, PlaneUnderTest.usable)
    func socketsSurviveAChangeOfPlane(_ first: PlaneUnderTest, _ second: PlaneUnderTest) throws {
        let relay = try TestRelay(first)
        let listener = try relay.listen(at: "127.0.0.1")
        let client = try TestSocket()
        let peer = try TestSocket()
        let route = try relay.bind(0x4001, from: client.address, at: listener, to: peer.address)
        for (round, plane) in [second, first, second].enumerated() {
            let payload = [UInt8(round), 7]
            client.send(channelData(0x4001, payload), to: relay.address(of: listener))
            #expect(try relay.relay(1) == 1)
            #expect(peer.receive()?.bytes == payload)
            // What comes in between two planes waits in the socket, or the old one has taken it and relays it.
            peer.send(payload, to: route.relayAddress)
            let held = try relay.swap(to: plane)
            #expect(try relay.relay(1 - held) == 1 - held)
            #expect(client.receive()?.bytes == channelData(0x4001, payload))
        }
    }

    @Test(arguments: PlaneUnderTest.usable, [true, false])
    func aChangeOfPlaneLosesNothing(_ plane: PlaneUnderTest, _ offloads: Bool) throws {
        let relay = try TestRelay(plane, receiveOffload: offloads, segmentationOffload: offloads)
        let listener = try relay.listen(at: "127.0.0.1")
        let clients = try (0..<20).map { _ in try TestSocket() }
        let peer = try TestSocket()
        for client in clients { try relay.bind(0x4001, from: client.address, at: listener, to: peer.address) }
        var relayed = 0
        for round in 0..<6 {
            // More than a batch, and of one flow more than a batch: the plane is left with something in its hands.
            for number in 0..<150 {
                let client = clients[number % clients.count]
                client.send(channelData(0x4001, [UInt8(round), UInt8(number)]), to: relay.address(of: listener))
            }
            var burst: [UInt8] = []
            for number in 0..<100 { burst += channelData(0x4001, [UInt8(100 + round), UInt8(number)]) }
            clients[0].send(burst, to: relay.address(of: listener), segment: 6)
            relayed += try relay.turn()
            relayed += try relay.swap(to: plane)
            if round % 2 == 0 { relayed += try relay.relay(250 * (round + 1) - relayed) }
        }
        relayed += try relay.relay(1_500 - relayed)
        #expect(relayed == 1_500)
        let arrived = peer.receiveAll()
        for (number, route) in relay.routes.enumerated() {
            var expected: [[UInt8]] = []
            for round in 0..<6 {
                for sent in stride(from: number, to: 150, by: clients.count) {
                    expected.append([UInt8(round), UInt8(sent)])
                }
                guard number == 0 else { continue }
                for sent in 0..<100 { expected.append([UInt8(100 + round), UInt8(sent)]) }
            }
            #expect(arrived.filter { $0.source == route.relayAddress }.map(\.bytes) == expected)
        }
    }

    @Test(arguments: PlaneUnderTest.usable)
    func aPortIsFreeAsSoonAsItsSocketIsClosed(_ plane: PlaneUnderTest) throws {
        let relay = try TestRelay(plane)
        let peer = try TestSocket()
        // Of an address and a port that tests beside this one are not given.
        let address = TransportAddress(
            "127.7.7.\(1 + (PlaneUnderTest.allCases.firstIndex(of: plane) ?? 0))", UInt16.random(in: 20_000...30_000))
        var slot = try relay.openRelay(at: "\(address.ip)", port: address.port)
        var delays = 0
        for round in 0..<100 {
            for value in 0..<round % 5 { peer.send([UInt8(round), UInt8(value)], to: address) }
            if round % 2 == 0 { try relay.turn() }
            relay.close(slot)
            do {
                slot = try relay.openRelay(at: "\(address.ip)", port: address.port)
            } catch let error as SocketError where error.kind == .addressInUse {
                // Children that other tests fork keep every descriptor until they have become another program.
                delays += 1
                slot = try patientlyOpen(address, relay)
            }
            #expect(relay.address(of: slot) == address)
        }
        // A plane that frees its sockets some time later is late in most rounds.
        #expect(delays <= 10)
    }

    private func patientlyOpen(_ address: TransportAddress, _ relay: TestRelay) throws -> SocketSlot {
        for _ in 0..<1_000 {
            if let slot = try? relay.openRelay(at: "\(address.ip)", port: address.port) { return slot }
            usleep(1_000)
        }
        return try relay.openRelay(at: "\(address.ip)", port: address.port)
    }

    /// Every datagram says for which life of which socket it was sent; none may be presented to another one.
    @Test(arguments: PlaneUnderTest.usable)
    func thousandsComeAndGoUnderTraffic(_ plane: PlaneUnderTest) throws {
        try SystemSockets.raiseDescriptorLimit()
        var generator = SeededGenerator()
        let relay = try TestRelay(plane, bufferBytes: nil)
        let sender = try TestSocket()
        let sink = try TestSocket(receiveBufferBytes: 64 << 20)
        var answers: [TransportAddress: [UInt32]] = [:]
        var arrived: [TransportAddress: [UInt32]] = [:]
        var living: [SocketSlot] = []
        var lives: [SocketSlot: UInt32] = [:]
        var opened: UInt32 = 0
        var sent = 0
        var seen = 0
        while opened < 4_000 {
            for _ in 0..<Int.random(in: 0...40, using: &generator) {
                let slot = try relay.openRelay(at: "127.0.0.1")
                opened += 1
                living.append(slot)
                lives[slot] = opened
            }
            for _ in 0..<Int.random(in: 0...60, using: &generator) {
                guard let slot = living.randomElement(using: &generator), let life = lives[slot] else { break }
                for _ in 0..<Int.random(in: 1...8, using: &generator) {
                    sender.send(withUnsafeBytes(of: life) { Array($0) }, to: relay.address(of: slot))
                    sent += 1
                }
            }
            for _ in 0..<Int.random(in: 0...2, using: &generator) {
                let count = try relay.io.receive(until: Instant(nanoseconds: 0))
                for index in 0..<count {
                    let life = relay.io.payload(index).withUnsafeBytes { $0.loadUnaligned(as: UInt32.self) }
                    #expect(lives[relay.io.arrival(index).slot] == life, "\(generator)")
                    relay.io.release(index)
                    seen += 1
                }
                try relay.io.flush()
            }
            // From sockets some of which close before anything else happens.
            let surplus = living.count - 400
            for slot in living.shuffled(using: &generator).prefix(Int.random(in: 0...30, using: &generator)) {
                guard let life = lives[slot] else { continue }
                let payload = withUnsafeBytes(of: life) { Array($0) }
                for _ in 0..<Int.random(in: 1...3, using: &generator) {
                    relay.io.send(payload.span.bytes, from: slot, to: sink.address, dontFragment: false)
                    answers[relay.address(of: slot), default: []].append(life)
                }
            }
            for _ in 0..<max(0, min(living.count, surplus + Int.random(in: -10...10, using: &generator))) {
                let slot = living.remove(at: Int.random(in: 0..<living.count, using: &generator))
                lives[slot] = nil
                relay.close(slot)
            }
            try relay.io.flush()
            for datagram in sink.receiveAll() {
                let life = datagram.bytes.withUnsafeBytes { $0.loadUnaligned(as: UInt32.self) }
                arrived[datagram.source, default: []].append(life)
            }
        }
        #expect(answers.count > 100, "\(generator)")
        #expect(arrived == answers, "\(generator)")
        #expect(seen > sent / 10 && seen <= sent, "\(seen) of \(sent), \(generator)")
        for slot in living { relay.close(slot) }
        #expect(try relay.io.receive(until: Instant(nanoseconds: 0)) == 0)
    }
}
