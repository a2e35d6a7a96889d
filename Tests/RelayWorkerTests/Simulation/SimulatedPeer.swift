import STUN

/// A peer: plain datagrams, no TURN.
final class SimulatedPeer: Endpoint {
    let address: TransportAddress
    private let world: World

    init(_ world: World, at address: TransportAddress) {
        self.address = address
        self.world = world
        world.add(self, at: address)
    }

    func send(_ bytes: [UInt8], to relayed: TransportAddress) {
        world.transmit(Packet(from: address, to: relayed, bytes: bytes))
    }

    func receive(_ packet: Packet) {
        if let wrong = world.payloads.arrive(packet.bytes, at: address, from: packet.from) { world.violate(wrong) }
    }
}
