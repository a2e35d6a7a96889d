public import RelayWorker

/// Bound channels relayed in the kernel, above a plane that does everything else.
public struct XDPPlane: DataPlane {
    private let session: XDPSession
    private let slowPath: any DataPlane

    public init(_ session: XDPSession, slowPath: any DataPlane) {
        self.session = session
        self.slowPath = slowPath
    }

    public var name: String { "xdp" }
    public var slowPathName: String { slowPath.name }

    public func run(_ worker: inout Worker) throws(PlaneError) -> Departure {
        try session.start()
        defer { session.finish() }
        return try worker.run(slowPath, offloadingTo: WorkerRoutes(session))
    }
}
