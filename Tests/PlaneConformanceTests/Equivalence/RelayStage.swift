import DataPlaneXDP
import Foundation
import PlaneTestKit
import RelayCore
import RelayWorker
import STUN
import Synchronization

/// A whole relay between clients and peers, each in a network namespace of its own, with real checksums on the wires:
///
///     clients 10.73.1.2 ---- 10.73.1.1 relay 10.73.2.1 ---- 10.73.2.2 peers
///             fd73:1::2      fd73:1::1       fd73:2::1      fd73:2::2
final class RelayStage {
    struct NotStarted: Error { let reason: String }

    static let port: UInt16 = 3478
    static let listeners = ["10.73.1.1", "fd73:1::1"].map { TransportAddress($0, port) }
    static let relays = ["10.73.2.1", "fd73:2::1"].map { TransportAddress($0, 0).ip }

    let stack: PlaneStack
    let clients: TestNamespace
    let relay: TestNamespace
    let peers: TestNamespace
    /// What arrives at the clients and at the peers.
    let clientWatch: FrameWatch
    let peerWatch: FrameWatch
    let link: WorkerLink
    private let xdp: XDPSession?
    private var thread: WorkerThread?
    private var sessions: [Families: StageSession] = [:]

    struct Families: Hashable, Sendable {
        let client: AddressFamily
        let peer: AddressFamily
    }

    init(_ stack: PlaneStack) throws {
        self.stack = stack
        clients = try TestNamespace()
        relay = try TestNamespace()
        peers = try TestNamespace()
        try Self.wire(clients, "clients0", 2, relay, "relay0", 1, subnet: 1)
        try Self.wire(relay, "relay1", 1, peers, "peers0", 2, subnet: 2)
        // Linux answers only so many datagrams a second with an ICMP error; a case must not depend on that.
        try peers.inside {
            for path in ["ipv4/icmp_ratelimit", "ipv6/icmp/ratelimit"] {
                try "0".write(toFile: "/proc/sys/net/\(path)", atomically: false, encoding: .utf8)
            }
        }
        clientWatch = try clients.inside { try FrameWatch() }
        peerWatch = try peers.inside { try FrameWatch() }
        let link = try WorkerLink()
        self.link = link
        let (thread, xdp, ending) = try relay.inside { () throws -> (WorkerThread, XDPSession?, Mailbox) in
            let (plane, xdp) = try stack.make(
                addresses: Self.listeners.map(\.ip), relayAddresses: Self.relays)
            let mailbox = Mailbox()
            let thread = try WorkerThread(
                try Self.worker(link), number: 0, planes: PlaneOrder(plane), mustStart: true
            ) { mailbox.put($0) }
            return (thread, xdp, mailbox)
        }
        self.thread = thread
        self.xdp = xdp
        if let failure = ending.waitForStart() { throw NotStarted(reason: failure) }
    }

    deinit {
        link.stop()
        thread?.join()
    }

    /// A client with a channel to a peer; one for each pair of families, kept between cases.
    func session(_ families: Families) throws -> StageSession {
        if let session = sessions[families] { return session }
        let session = try StageSession(self, families)
        sessions[families] = session
        return session
    }

    /// How many frames the kernel has forwarded by itself.
    var forwardedInKernel: UInt64 {
        xdp?.statistics.frames.reduce(0) { $1.verdict == "forward" ? $0 + $1.packets : $0 } ?? 0
    }

    func socket(in namespace: TestNamespace, _ family: AddressFamily) throws -> TestSocket {
        let subnet = namespace === clients ? 1 : 2
        return try namespace.inside { try TestSocket(Self.host(subnet, 2, family)) }
    }

    private static func host(_ subnet: Int, _ number: Int, _ family: AddressFamily) -> String {
        family == .ipv4 ? "10.73.\(subnet).\(number)" : "fd73:\(subnet)::\(number)"
    }

    private static func wire(
        _ left: TestNamespace, _ leftDevice: String, _ leftNumber: Int, _ right: TestNamespace, _ rightDevice: String,
        _ rightNumber: Int, subnet: Int
    ) throws {
        try left.command(
            "link", "add", leftDevice, "type", "veth", "peer", "name", rightDevice, "netns", right.name)
        for (namespace, device, number) in [(left, leftDevice, leftNumber), (right, rightDevice, rightNumber)] {
            try namespace.command("address", "add", host(subnet, number, .ipv4) + "/24", "dev", device)
            try namespace.command("address", "add", host(subnet, number, .ipv6) + "/64", "dev", device, "nodad")
            try namespace.command("link", "set", device, "up")
            // Each end computes its checksums itself, and takes what an XDP program sends.
            try namespace.switchOffChecksums(of: device)
            try namespace.switchOnReceiveOffload(of: device)
        }
    }

    private static func worker(_ link: WorkerLink) throws -> Worker {
        var configuration = Configuration()
        configuration.users = [StaticUser(name: StageClient.username, password: StageClient.password)]
        configuration.relayAddresses = relays.map { RelayAddress(address: $0) }
        configuration.ownAddresses = listeners.map(\.ip) + relays
        configuration.peerPolicy = PeerPolicy(
            profile: .public, allow: try ["10.73.2.0/24", "fd73:2::/64"].map { try CIDR($0) }, deny: [])
        configuration.unauthenticatedRate = 0
        let opener = SystemSockets(receiveBufferBytes: 4 << 20, sendBufferBytes: 4 << 20)
        let core = RelayCore(
            configuration, ledger: RelayLedger(relayAddresses: configuration.relayAddresses), worker: 0, of: 1,
            at: SystemClock.now())
        return try Worker(
            core: core, listeners: listeners, opener: opener, reserved: ReservedSockets(opener: opener), link: link,
            notes: { _ in })
    }
}

/// What the worker's thread says, for the thread that started it.
private final class Mailbox: Sendable {
    private let failure = Mutex<String?>(nil)
    private let said = DispatchSemaphore(value: 0)

    func put(_ event: WorkerEvent) {
        switch event {
        case .started: said.signal()
        case .failed(_, let error):
            failure.withLock { $0 = error.description }
            said.signal()
        case .ended: break
        }
    }

    /// Why the plane did not start; nothing when it did.
    func waitForStart() -> String? {
        guard said.wait(timeout: .now() + 10) == .success else { return "no answer within 10 s" }
        return failure.withLock { $0 }
    }
}
