import CTraffic
import DataPlaneIOUring
import DataPlaneSocket
import RelayCore
import RelayWorker
import STUN

/// A whole worker on its plane, over loopback: what a relayed datagram allocates and counts, from socket to socket.
///
/// The counts are of all threads; the time is this thread's, the one that sends and receives, not the worker's.
func measurePlanes(_ recorder: inout Recorder) throws {
    guard recorder.mayWant("plane/") else { return }
    try measure(SocketPlane(), &recorder)
    try measure(IOUringPlane(), &recorder)
}

private func measure(_ plane: any DataPlane, _ recorder: inout Recorder) throws {
    let relay = try LoopbackRelay(plane: plane)
    let payloadByteCount = 172
    let up = Packets([[0x40, 0x00, 0, UInt8(payloadByteCount)] + [UInt8](repeating: 7, count: payloadByteCount)])
    let down = Packets([[UInt8](repeating: 7, count: payloadByteCount)])
    // By 64 a socket has more than io_uring receives from it, and is read by calls.
    for burst in [1, 16, 64] {
        recorder.measure("plane/\(plane.name)-up-by-\(burst)", operations: 8_000) { count in
            relay.carry(
                up[0], from: [relay.clients[0]], to: relay.serverPort, at: relay.peer, payloadByteCount, count, burst)
        }
        recorder.measure("plane/\(plane.name)-down-by-\(burst)", operations: 8_000) { count in
            relay.carry(
                down[0], from: [relay.peer], to: relay.relayedPort, at: relay.clients[0], payloadByteCount + 4, count,
                burst)
        }
    }
    // One datagram of each client: what sockets send by one raw socket.
    recorder.measure("plane/\(plane.name)-up-from-\(relay.clients.count)", operations: 8_000) { count in
        relay.carry(
            up[0], from: relay.clients, to: relay.serverPort, at: relay.peer, payloadByteCount, count,
            relay.clients.count)
    }
    // Two of each client: a run each, which no raw socket takes, and which io_uring sends together.
    recorder.measure("plane/\(plane.name)-up-from-\(relay.clients.count)-by-2", operations: 8_000) { count in
        relay.carry(
            up[0], from: relay.clients, to: relay.serverPort, at: relay.peer, payloadByteCount, count,
            2 * relay.clients.count)
    }
    relay.stop()
}

/// A worker on a thread of its own, sixteen clients with an allocation and a channel each, and the peer of all.
final class LoopbackRelay {
    let clients: [Int32]
    let peer: Int32
    let serverPort: UInt16
    private(set) var relayedPort: UInt16 = 0
    private let thread: WorkerThread
    private let link: WorkerLink

    init(plane: any DataPlane) throws {
        var clientPorts = [UInt16](repeating: 0, count: 16)
        var peerPort: UInt16 = 0
        var freePort: UInt16 = 0
        clients = clientPorts.indices.map { traffic_open(&clientPorts[$0]) }
        peer = traffic_open(&peerPort)
        // A port that was free a moment ago.
        let probe = traffic_open(&freePort)
        precondition(clients.allSatisfy { $0 >= 0 } && peer >= 0 && probe >= 0, "no UDP on loopback")
        traffic_close(probe)
        serverPort = freePort
        let loopback = IPAddress(v4: 0x7F00_0001)
        var configuration = Configuration()
        configuration.users = [StaticUser(name: "bench", password: "secret")]
        configuration.relayAddresses = [RelayAddress(address: loopback)]
        configuration.peerPolicy = PeerPolicy(profile: .public, allow: [CIDR(of: loopback)], deny: [])
        let core = RelayCore(
            configuration, ledger: RelayLedger(relayAddresses: configuration.relayAddresses),
            at: SystemClock.now())
        let opener = SystemSockets()
        link = try WorkerLink()
        let worker = try Worker(
            core: core, listeners: [TransportAddress(loopback, port: serverPort)], opener: opener,
            reserved: ReservedSockets(opener: opener), link: link, notes: { _ in })
        thread = try WorkerThread(worker, number: 0, planes: PlaneOrder(plane), tell: { _ in })
        let peer = TransportAddress(loopback, port: peerPort)
        for (client, port) in zip(clients, clientPorts).reversed() {
            // The relayed port of the first client stays.
            relayedPort = join(client, at: TransportAddress(loopback, port: port), peer: peer)
        }
    }

    func stop() {
        link.stop()
        thread.join()
        for client in clients { traffic_close(client) }
        traffic_close(peer)
    }

    /// Sends a datagram `count` times and waits for each; all of them must arrive.
    func carry(
        _ datagram: RawSpan, from sources: [Int32], to port: UInt16, at sink: Int32, _ expectedByteCount: Int,
        _ count: Int, _ burst: Int
    ) {
        let arrived = datagram.withUnsafeBytes { bytes in
            traffic_relay(
                sources, Int32(sources.count), port, bytes.baseAddress, bytes.count, sink, expectedByteCount, count,
                Int32(burst))
        }
        precondition(arrived == count, "\(count - arrived) of \(count) datagrams were lost on loopback")
    }

    /// An allocation with a channel to the peer; its relayed port.
    private func join(_ client: Int32, at address: TransportAddress, peer: TransportAddress) -> UInt16 {
        var session = CoreFixture.Session(client: address, peer: peer, channel: 0x4000)
        session.nonce = nonce(of: ask(client, encode(.request, .allocate, 1) { $0.appendRequestedTransport(17) }))
        let allocated = ask(client, CoreFixture.allocate(session, id: 2))
        guard let relayed = relayedAddress(in: allocated) else { preconditionFailure("Allocate was refused") }
        precondition(
            ask(client, CoreFixture.bind(session, id: 3)).starts(with: [0x01, 0x09]), "ChannelBind was refused")
        return relayed.port
    }

    private func ask(_ client: Int32, _ request: [UInt8]) -> [UInt8] {
        var answer = [UInt8](repeating: 0, count: 1500)
        let byteCount = traffic_ask(client, serverPort, request, request.count, &answer, answer.count)
        precondition(byteCount > 0, "the relay did not answer")
        return Array(answer.prefix(byteCount))
    }
}

private func relayedAddress(in bytes: [UInt8]) -> TransportAddress? {
    guard let message = try? Message(parsing: bytes.span.bytes) else { return nil }
    return message.first(.xorRelayedAddress)?.xorAddress(message.transactionID)
}
