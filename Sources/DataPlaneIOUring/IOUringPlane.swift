public import PlaneKit
public import RelayWorker

/// The plane on io_uring: multishot receives into provided buffers, registered sockets, sends of many sockets by one call.
public struct IOUringPlane: DataPlane {
    /// What the plane will do on this host.
    public struct Features: Sendable, Equatable, CustomStringConvertible {
        /// Whether completions wait until they are asked for (`IORING_SETUP_DEFER_TASKRUN`).
        public let isDeferred: Bool
        public let offloads: Offloads

        public var description: String {
            "multishot recvmsg, batched sendmsg, \(isDeferred ? "deferred" : "cooperative") work, \(offloads)"
        }
    }

    /// What the plane may use.
    public let offloads: Offloads
    /// Whether completions may wait until they are asked for; without it the plane works as on Linux 6.0.
    public let defersWork: Bool

    public init(offloads: Offloads = Offloads(), defersWork: Bool = true) {
        self.offloads = offloads
        self.defersWork = defersWork
    }

    public var name: String { "io-uring" }

    public func run(_ worker: inout Worker) throws(PlaneError) -> Departure {
        var io = try IOUringIO(try probe())
        return try worker.drive(&io)
    }
}
