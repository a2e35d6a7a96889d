/// A way of moving datagrams: the cold half of the seam, one call per worker per life of a plane.
public protocol DataPlane: Sendable {
    /// The plane's name as it stands in options, logs and metric labels: `socket`, `io-uring`, `xdp`.
    var name: String { get }

    /// Builds its `DatagramIO`, attaches every socket of the worker and calls `worker.drive(&io)`.
    func run(_ worker: inout Worker) throws(PlaneError) -> Departure
}

/// Why a plane's run ended without an error.
public enum Departure: Sendable {
    /// The worker was told to stop.
    case stopped
    /// The worker was told to go on with another plane; its sockets and its core stay as they are.
    case swap(any DataPlane)
}
