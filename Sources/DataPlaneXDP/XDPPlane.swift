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

    public func run(_ worker: inout Worker) throws(PlaneError) -> Departure {
        try session.start()
        defer { session.finish() }
        return try worker.run(slowPath, offloadingTo: WorkerRoutes(session))
    }

    /// The slow path without the program: what goes on when the program is lost, and only then. A program that could
    /// not be attached in the first place is an error of the start.
    public var slowPathAlone: any DataPlane { SlowPathAlone(session: session, slowPath: slowPath) }
}

private struct SlowPathAlone: DataPlane {
    let session: XDPSession
    let slowPath: any DataPlane

    var name: String { slowPath.name }

    func run(_ worker: inout Worker) throws(PlaneError) -> Departure {
        if let refusal = session.refusal { throw refusal }
        return try slowPath.run(&worker)
    }
}
