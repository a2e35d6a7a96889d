public import RelayCore
public import STUN

/// The local addresses of wildcard listeners that clients have used: a slot for each, so that answers leave from the
/// address that was asked and a five-tuple names its server address.
struct VantageTable {
    private struct Entry {
        let listener: SocketSlot
        let address: IPAddress
        let slot: SocketSlot
    }

    /// A host has few addresses; 127.0.0.0/8 alone would have 16 million.
    static let limit = 256
    private var entries: [Entry] = []
    private var latest = 0

    mutating func find(_ listener: SocketSlot, _ address: IPAddress) -> SocketSlot? {
        if latest < entries.count, entries[latest].listener == listener, entries[latest].address == address {
            return entries[latest].slot
        }
        for index in entries.indices where entries[index].listener == listener && entries[index].address == address {
            latest = index
            return entries[index].slot
        }
        return nil
    }

    var isFull: Bool { entries.count >= Self.limit }

    mutating func add(_ listener: SocketSlot, _ address: IPAddress, _ slot: SocketSlot) {
        entries.append(Entry(listener: listener, address: address, slot: slot))
    }

    func slots(of listener: SocketSlot) -> [SocketSlot] {
        entries.compactMap { $0.listener == listener ? $0.slot : nil }
    }

    /// Takes out those of a listener.
    mutating func take(of listener: SocketSlot) -> [SocketSlot] {
        let taken = slots(of: listener)
        entries.removeAll { $0.listener == listener }
        return taken
    }
}

extension Worker {
    /// The slot of one local address of a wildcard listener; made at its first datagram.
    /// - Returns: nothing for an address that nobody can be answered from (multicast, broadcast), when there are too
    ///   many, when the plane cannot take it, or when the listener is not open yet.
    @inlinable
    mutating func vantage<IO: DatagramIO & ~Copyable>(
        of listener: SocketSlot, at address: IPAddress, through io: inout IO
    ) -> SocketSlot? {
        if let known = knownVantage(of: listener, at: address) { return known }
        guard let made = makeVantage(of: listener, at: address) else { return nil }
        do throws(PlaneError) {
            try io.attach(made, of: sockets)
        } catch {
            abandon(made)
            return nil
        }
        adopt(made, of: listener, at: address)
        return made
    }

    @usableFromInline
    mutating func knownVantage(of listener: SocketSlot, at address: IPAddress) -> SocketSlot? {
        vantages.find(listener, address)
    }

    @usableFromInline
    mutating func makeVantage(of listener: SocketSlot, at address: IPAddress) -> SocketSlot? {
        guard !vantages.isFull, !address.isMulticast, !address.isLimitedBroadcast, standing(of: listener) != .waiting
        else { return nil }
        let parent = sockets[listener]
        let local = TransportAddress(address, port: parent.local.port)
        return sockets.insert(
            SocketEntry(descriptor: parent.descriptor, role: .vantage(of: listener), local: local))
    }

    @usableFromInline
    mutating func abandon(_ vantage: SocketSlot) { _ = sockets.remove(vantage) }

    @usableFromInline
    mutating func adopt(_ vantage: SocketSlot, of listener: SocketSlot, at address: IPAddress) {
        vantages.add(listener, address, vantage)
        core.listen(on: vantage, at: sockets[vantage].local)
        if standing(of: listener) == .leaving { core.leave(vantage) }
    }
}

extension IPAddress {
    /// 0.0.0.0 or `::`.
    var isUnspecified: Bool { high == 0 && low == 0 }

    /// 224.0.0.0/4 or ff00::/8.
    var isMulticast: Bool {
        switch family {
        case .ipv4: low >> 28 == 0xE
        case .ipv6: high >> 56 == 0xFF
        }
    }

    /// 255.255.255.255.
    var isLimitedBroadcast: Bool { family == .ipv4 && low == 0xFFFF_FFFF }
}
