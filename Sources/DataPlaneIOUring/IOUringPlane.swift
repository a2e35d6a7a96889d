import CLinux
public import RelayWorker

/// The plane on io_uring: multishot receives into provided buffers, registered sockets, one call for the sends of a turn.
public struct IOUringPlane: DataPlane {
    /// What the plane may use; for measuring, and for hosts where an offload does harm.
    public struct Options: Sendable, Equatable {
        /// Take several datagrams of one flow in one buffer (`UDP_GRO`).
        public var receiveOffload: Bool
        /// Hand several datagrams of one flow to the kernel in one message (`UDP_SEGMENT`).
        public var segmentationOffload: Bool
        /// Let completions wait until they are asked for (`IORING_SETUP_DEFER_TASKRUN`).
        public var deferredWork: Bool

        public init(receiveOffload: Bool = true, segmentationOffload: Bool = true, deferredWork: Bool = true) {
            self.receiveOffload = receiveOffload
            self.segmentationOffload = segmentationOffload
            self.deferredWork = deferredWork
        }
    }

    /// What the plane will do on this host.
    public struct Features: Sendable, Equatable, CustomStringConvertible {
        public let isDeferred: Bool
        public let hasReceiveOffload: Bool
        public let hasSegmentationOffload: Bool

        public var description: String {
            "multishot recvmsg, batched sendmsg, \(isDeferred ? "deferred" : "cooperative") work, "
                + "GRO \(hasReceiveOffload ? "on" : "off"), GSO \(hasSegmentationOffload ? "on" : "off")"
        }
    }

    public let options: Options

    public init(options: Options = Options()) { self.options = options }

    public var name: String { "io-uring" }

    public func run(_ worker: inout Worker) throws(PlaneError) -> Departure {
        var io = try IOUringIO(try probe())
        return try worker.drive(&io)
    }
}
