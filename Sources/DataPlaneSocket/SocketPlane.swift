public import PlaneKit
public import RelayWorker

/// The plane for any kernel: epoll, `recvmmsg`, `sendmmsg`, and the offloads that the kernel has.
public struct SocketPlane: DataPlane {
    /// What the plane will do on this host.
    public struct Features: Sendable, Equatable, CustomStringConvertible {
        public let offloads: Offloads

        public var description: String { "epoll, recvmmsg/sendmmsg, \(offloads)" }
    }

    /// What the plane may use.
    public let offloads: Offloads

    public init(offloads: Offloads = Offloads()) { self.offloads = offloads }

    public var name: String { "socket" }

    /// Tries on throw-away descriptors what the plane needs.
    /// - Returns: what it will do here.
    public func probe() throws(PlaneError) -> Features {
        _ = try Poller()
        return Features(offloads: try offloads.allowedHere())
    }

    public func run(_ worker: inout Worker) throws(PlaneError) -> Departure {
        var io = try SocketIO(try probe())
        return try worker.drive(&io)
    }
}
