import RelayCore
import STUN
import TestSeed

@testable import RelayWorker

/// A whole life of a relay: clients allocate, bind, talk with peers and with each other, release or stay to the end.
final class Conversations {
    private struct Line {
        let flow: UInt32
        let send: ([UInt8]) -> Void
    }

    let rig: Rig
    private var world: World { rig.world }
    private let clients: [SimulatedClient]
    private let peers: [SimulatedPeer]
    private var lines: [Line] = []
    private let payloadsPerLine = 12
    /// Longer than any datagram is under way, however often it is relayed.
    private let settleMilliseconds = 1000

    init(_ rig: Rig) {
        self.rig = rig
        let (clientCount, peerCount) = (rig.world.generator.pick(2...5), rig.world.generator.pick(1...3))
        // Two ports of one host each: a five-tuple is more than an address.
        clients = (0..<clientCount).map { rig.client($0 / 2, port: UInt16(5000 + $0 % 2)) }
        peers = (0..<peerCount).map { SimulatedPeer(rig.world, at: .peer($0)) }
        allocate()
        molest()
    }

    var allocationCount: Int { clients.count }

    private func allocate() {
        let next = barrier(clients.count) { $0.connect() }
        for client in clients {
            world.after(milliseconds: world.generator.pick(0...50)) { client.demand(.allocate(), then: next) }
        }
    }

    /// Every client meets every peer, all by the same address, and the client beside it.
    private func connect() {
        let next = barrier(clients.count * (peers.count + 2)) { $0.talk() }
        for (index, client) in clients.enumerated() {
            for (offset, peer) in peers.enumerated() {
                connect(client, to: peer, channel: UInt16(0x4000 + offset), then: next)
            }
            let beside = clients[(index + 1) % clients.count]
            let before = clients[(index + clients.count - 1) % clients.count]
            connect(client, toClient: beside, channel: 0x4100, then: next)
            // Two clients that are each other's neighbours on both sides have this one already.
            guard beside !== before, let relayed = before.relayed else { next(); continue }
            client.demand(.permit(relayed), then: next)
        }
    }

    private func connect(
        _ client: SimulatedClient, to peer: SimulatedPeer, channel: UInt16, then next: @escaping () -> Void
    ) {
        guard let relayed = client.relayed else { return world.violate("\(client.address) has no relayed address") }
        let out = world.payloads.open(to: peer.address, seenFrom: relayed)
        let back = world.payloads.open(to: client.address, seenFrom: peer.address)
        lines.append(Line(flow: back) { peer.send($0, to: relayed) })
        if world.generator.chance(70) {
            client.demand(.bind(channel, peer.address), then: next)
            lines.append(Line(flow: out) { client.send($0, channel: channel) })
        } else {
            client.demand(.permit(peer.address), then: next)
            lines.append(Line(flow: out) { client.indicate($0, to: peer.address) })
        }
    }

    private func connect(
        _ client: SimulatedClient, toClient other: SimulatedClient, channel: UInt16, then next: @escaping () -> Void
    ) {
        guard let mine = client.relayed, let theirs = other.relayed else {
            return world.violate("\(client.address) or \(other.address) has no relayed address")
        }
        let flow = world.payloads.open(to: other.address, seenFrom: mine)
        client.demand(.bind(channel, theirs), then: next)
        lines.append(Line(flow: flow) { client.send($0, channel: channel) })
    }

    private func talk() {
        for line in lines {
            for number in 0..<payloadsPerLine {
                let payload = Payload(flow: line.flow, number: UInt32(number))
                world.after(milliseconds: world.generator.pick(0...300)) { [world] in
                    world.payloads.expect(payload)
                    line.send(payload.bytes)
                }
            }
        }
        world.after(milliseconds: 300 + settleMilliseconds) { [self] in leave() }
    }

    /// Some release, the others are there when the relay stops.
    private func leave() {
        let leaving = clients.filter { _ in world.generator.chance(50) }
        let next = barrier(leaving.count + 1) { scenario in
            scenario.world.after(milliseconds: scenario.settleMilliseconds) { scenario.rig.link.stop() }
        }
        next()
        for client in leaving { client.demand(.refresh(lifetimeSeconds: 0), then: next) }
    }

    /// Strangers send noise to the listener, and what looks like somebody's payload to relay ports.
    private func molest() {
        let stranger = TransportAddress.peer(99)
        world.strangers = [stranger]
        for number in 0..<20 {
            world.after(milliseconds: world.generator.pick(0...500)) { [world, clients] in
                let noise = [0xC0] + world.generator.bytes(world.generator.pick(0...100))
                world.transmit(Packet(from: stranger, to: SimulatedRelay.listener, bytes: noise))
                for case let relayed? in clients.map(\.relayed) {
                    let payload = Payload(flow: 0, number: UInt32(number))
                    world.transmit(Packet(from: stranger, to: relayed, bytes: payload.bytes))
                }
            }
        }
    }

    /// Goes on once it was called `count` times.
    private func barrier(_ count: Int, then next: @escaping (Conversations) -> Void) -> () -> Void {
        var remaining = count
        return { [self] in
            remaining -= 1
            if remaining == 0 { next(self) }
        }
    }
}
