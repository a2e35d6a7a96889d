import RelayWorker
import STUN

/// The relay's sockets as the simulated host has them. One thread at a time, as ``World``.
final class SimulatedSockets: SocketOpener, @unchecked Sendable {
    struct Socket {
        let local: TransportAddress
        let isListener: Bool
        var queue: [Packet] = []
        /// Peers that answered with ICMP "port unreachable".
        var refusals: [TransportAddress] = []
    }

    enum Outcome { case queued, full, nobody }

    private(set) var open: [Int32: Socket] = [:]
    /// Open descriptors by the address that they are bound to, in ascending order.
    private var bound: [TransportAddress: [Int32]] = [:]
    /// Descriptors with a datagram or an ICMP error in their queue.
    private(set) var readable: Set<Int32> = []
    private(set) var erring: Set<Int32> = []
    /// Every bind of a relay socket, refused ones included.
    private(set) var attempts: [TransportAddress] = []
    private(set) var violations: [String] = []
    /// What refuses a bind besides an address that is taken.
    var refusal: (TransportAddress) -> SocketError.Kind? = { _ in nil }

    func openListener(at address: TransportAddress) throws(SocketError) -> Int32 {
        try admit(address, isTaken: isTaken(address) { !$0.isListener })
        return add(Socket(local: address, isListener: true))
    }

    func openRelay(at address: TransportAddress) throws(SocketError) -> Int32 {
        attempts.append(address)
        try admit(address, isTaken: isTaken(address) { _ in true })
        return add(Socket(local: address, isListener: false))
    }

    private func isTaken(_ address: TransportAddress, by isRival: (Socket) -> Bool) -> Bool {
        bound[address, default: []].contains { open[$0].map(isRival) ?? false }
    }

    private func admit(_ address: TransportAddress, isTaken: Bool) throws(SocketError) {
        let kind = isTaken ? .addressInUse : refusal(address)
        if let kind { throw SocketError(kind: kind, subject: "UDP \(address)") }
    }

    private func add(_ socket: Socket) -> Int32 {
        // The lowest number that is free, as the kernel does: a late use of a closed one hits somebody else.
        var descriptor: Int32 = 3
        while open[descriptor] != nil { descriptor += 1 }
        open[descriptor] = socket
        bound[socket.local, default: []].append(descriptor)
        bound[socket.local]?.sort()
        return descriptor
    }

    func close(_ descriptor: Int32) {
        guard let socket = open.removeValue(forKey: descriptor) else {
            return violations.append("descriptor \(descriptor) closed twice")
        }
        bound[socket.local]?.removeAll { $0 == descriptor }
        readable.remove(descriptor)
        erring.remove(descriptor)
    }

    /// Puts a datagram into the socket that is bound to where it goes; of several, always the same for one sender.
    func enqueue(_ packet: Packet, limit: Int) -> Outcome {
        let wildcard = TransportAddress(
            packet.to.family == .ipv4 ? IPAddress(v4: 0) : IPAddress(v6High: 0, low: 0), port: packet.to.port)
        let descriptors = bound[packet.to, default: []] + bound[wildcard, default: []]
        guard !descriptors.isEmpty else { return .nobody }
        let descriptor = descriptors[Int(packet.from.port) % descriptors.count]
        guard let count = open[descriptor]?.queue.count, count < limit else { return .full }
        open[descriptor]?.queue.append(packet)
        readable.insert(descriptor)
        return .queued
    }

    /// The network answers a datagram of a relay socket with ICMP.
    func refuse(_ packet: Packet) {
        for descriptor in bound[packet.from, default: []] {
            open[descriptor]?.refusals.append(packet.to)
            erring.insert(descriptor)
        }
    }

    func take(from descriptor: Int32) -> Packet? {
        guard let isEmpty = open[descriptor]?.queue.isEmpty, !isEmpty else { return nil }
        let packet = open[descriptor]?.queue.removeFirst()
        if open[descriptor]?.queue.isEmpty == true { readable.remove(descriptor) }
        return packet
    }

    func takeRefusal(from descriptor: Int32) -> TransportAddress? {
        guard let peer = open[descriptor]?.refusals.popLast() else { return nil }
        if open[descriptor]?.refusals.isEmpty == true { erring.remove(descriptor) }
        return peer
    }
}
