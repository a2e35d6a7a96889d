import CIOUring
public import PlaneKit
public import RelayWorker

/// The plane on io_uring: multishot receives into provided buffers, sends of many sockets by one call.
public struct IOUringPlane: DataPlane {
    /// What the plane will do on this host.
    public struct Features: Sendable, Equatable, CustomStringConvertible {
        /// Whether completions wait until they are asked for (`IORING_SETUP_DEFER_TASKRUN`).
        public let isDeferred: Bool
        /// Whether the ring has the sockets in a table of its own (`IORING_REGISTER_FILES2`). Until Linux 6.12 it does
        /// not: a socket that is taken out lives on there until every older request of the ring has ended, and the
        /// receive of a listener never does.
        public let registersFiles: Bool
        public let offloads: Offloads
        /// Those that were asked for.
        public let ring: RingFeatures

        public var description: String {
            let work = mode == CIOURING_POLL ? "polled" : isDeferred ? "deferred" : "cooperative"
            let files = registersFiles ? "registered files, " : ""
            return "multishot recvmsg, batched sendmsg, \(work) work, \(files)\(offloads)"
                + (ring.isEmpty ? "" : ", \(ring)")
        }

        /// How the kernel runs the ring's work. A polling thread does it in its own time.
        var mode: ciouring_mode {
            ring.contains(.sqpoll) ? CIOURING_POLL : isDeferred ? CIOURING_DEFER : CIOURING_COOPERATE
        }
    }

    /// What the plane may use.
    public let offloads: Offloads
    /// Whether completions may wait until they are asked for; without it the plane works as on Linux 6.0.
    public let defersWork: Bool
    /// Whether sockets may be registered; without it the plane works as before Linux 6.13.
    public let registersFiles: Bool
    /// What the plane is to use besides. A host that refuses one of them refuses the plane.
    public let features: RingFeatures

    public init(
        offloads: Offloads = Offloads(), defersWork: Bool = true, registersFiles: Bool = true,
        features: RingFeatures = []
    ) {
        self.offloads = offloads
        self.defersWork = defersWork
        self.registersFiles = registersFiles
        self.features = features
    }

    public var name: String { "io-uring" }

    public func run(_ worker: inout Worker) throws(PlaneError) -> Departure {
        var io = try IOUringIO(try probe())
        return try worker.drive(&io)
    }
}
