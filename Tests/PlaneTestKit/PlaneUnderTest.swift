package import DataPlaneIOUring
import DataPlaneSocket
package import PlaneKit
package import RelayCore
package import RelayWorker
package import STUN

/// A plane of this build. Every case of the conformance suite runs on each.
package enum PlaneUnderTest: CaseIterable, CustomStringConvertible, Sendable {
    case socket
    case ioUring
    /// io_uring as on Linux 6.0, where completions cannot wait until they are asked for.
    case cooperativeIOUring
    /// io_uring as before Linux 6.13, where a ring that has sockets registered does not let go of them.
    case unregisteredIOUring
    /// io_uring with a thread of the kernel that takes the requests.
    case pollingIOUring
    /// io_uring that looks at the network devices before it sleeps.
    case napiIOUring
    /// io_uring that sends large messages from where they came in.
    case zeroCopyIOUring

    package var description: String {
        switch self {
        case .socket: "socket"
        case .ioUring: "io-uring"
        case .cooperativeIOUring: "io-uring, cooperative"
        case .unregisteredIOUring: "io-uring, no registered files"
        case .pollingIOUring: "io-uring, sqpoll"
        case .napiIOUring: "io-uring, napi"
        case .zeroCopyIOUring: "io-uring, zero-copy"
        }
    }
    package var name: String { plane().name }

    package func plane(offloads: Bool = true) -> any DataPlane {
        let offloads = offloads ? Offloads() : .none
        return self == .socket ? SocketPlane(offloads: offloads) : ring(offloads)
    }

    /// One of the cases of io_uring.
    package func ring(_ offloads: Offloads) -> IOUringPlane {
        let features: RingFeatures =
            switch self {
            case .pollingIOUring: .sqpoll
            case .napiIOUring: .napi
            case .zeroCopyIOUring: .zeroCopy
            case .socket, .ioUring, .cooperativeIOUring, .unregisteredIOUring: []
            }
        return IOUringPlane(
            offloads: offloads, defersWork: self != .cooperativeIOUring, registersFiles: self != .unregisteredIOUring,
            features: features)
    }

    /// An IO of the plane, on the calling thread, which alone may use it.
    func makeIO(receiveOffload: Bool, segmentationOffload: Bool) throws -> any TestIO {
        let offloads = Offloads(
            receive: receiveOffload, segmentation: segmentationOffload, rawSending: segmentationOffload)
        return self == .socket
            ? BoxedIO(try SocketIO(try SocketPlane(offloads: offloads).probe()))
            : BoxedIO(try IOUringIO(try ring(offloads).probe()))
    }

    /// The planes that this host allows. One that it refuses is not silently passed over: a test of the probes says why.
    package static let usable: [PlaneUnderTest] = allCases.filter { candidate in
        (try? candidate.makeIO(receiveOffload: true, segmentationOffload: true)) != nil
    }
    /// Those that take in whatever waits in the sockets when they are asked. A polling thread does it in its own time.
    package static let prompt = usable.filter { $0 != .pollingIOUring }
}

/// The IO of some plane, for tests: one call through a table more than the worker makes.
package protocol TestIO: AnyObject {
    var counters: PlaneCounters { get }
    func attach(_ slot: SocketSlot, of sockets: borrowing SocketSet) throws
    func detach(_ slot: SocketSlot)
    func receive(until deadline: Instant?) throws -> Int
    func stopReceiving()
    func arrival(_ index: Int) -> Arrival
    func payload(_ index: Int) -> [UInt8]
    func forward(_ index: Int, _ hop: Hop)
    func release(_ index: Int)
    func send(_ payload: RawSpan, from slot: SocketSlot, to destination: TransportAddress, dontFragment: Bool)
    func flush() throws
    func nextReport() -> ICMPReport?
    func now() -> Moment
}

final class BoxedIO<IO: DatagramIO & ~Copyable>: TestIO {
    private var io: IO

    init(_ io: consuming IO) { self.io = io }

    var counters: PlaneCounters { io.counters }
    func attach(_ slot: SocketSlot, of sockets: borrowing SocketSet) throws { try io.attach(slot, of: sockets) }
    func detach(_ slot: SocketSlot) { io.detach(slot) }
    func receive(until deadline: Instant?) throws -> Int { try io.receive(until: deadline) }
    func stopReceiving() { io.stopReceiving() }
    func arrival(_ index: Int) -> Arrival { io.arrival(index) }

    func payload(_ index: Int) -> [UInt8] { io.payload(index) }
    func forward(_ index: Int, _ hop: Hop) { io.forward(index, hop) }
    func release(_ index: Int) { io.release(index) }

    func send(_ payload: RawSpan, from slot: SocketSlot, to destination: TransportAddress, dontFragment: Bool) {
        io.send(payload, from: slot, to: destination, dontFragment: dontFragment)
    }

    func flush() throws { try io.flush() }
    func nextReport() -> ICMPReport? { io.nextReport() }
    func now() -> Moment { io.now() }
}

/// What stands between two planes.
final class NoIO: TestIO {
    var counters: PlaneCounters { unused() }
    func attach(_ slot: SocketSlot, of sockets: borrowing SocketSet) throws { unused() }
    func detach(_ slot: SocketSlot) { unused() }
    func receive(until deadline: Instant?) throws -> Int { unused() }
    func stopReceiving() { unused() }
    func arrival(_ index: Int) -> Arrival { unused() }
    func payload(_ index: Int) -> [UInt8] { unused() }
    func forward(_ index: Int, _ hop: Hop) { unused() }
    func release(_ index: Int) { unused() }
    func send(_ payload: RawSpan, from slot: SocketSlot, to destination: TransportAddress, dontFragment: Bool) {
        unused()
    }
    func flush() throws { unused() }
    func nextReport() -> ICMPReport? { unused() }
    func now() -> Moment { unused() }
    private func unused() -> Never { preconditionFailure("between two planes") }
}

extension DatagramIO where Self: ~Copyable {
    /// A copy of datagram `index`.
    fileprivate func payload(_ index: Int) -> [UInt8] {
        let span = bytes(index)
        return (0..<span.byteCount).map { span.unsafeLoad(fromByteOffset: $0, as: UInt8.self) }
    }
}
