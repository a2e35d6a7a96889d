/// A way of moving datagrams: the cold half of the seam, one call per worker per life of a plane.
public protocol DataPlane: Sendable {
    /// The plane's name as it stands in options, logs and metric labels: `socket`, `io-uring`, `xdp`.
    var name: String { get }

    /// The plane whose IO drives the worker: another one where this plane stands above it, else the plane itself.
    var slowPathName: String { get }

    /// Builds its `DatagramIO`, attaches every socket of the worker and calls `worker.drive(&io)`.
    func run(_ worker: inout Worker) throws(PlaneError) -> Departure
}

extension DataPlane {
    public var slowPathName: String { name }
}

/// Why a plane's run ended without an error.
public enum Departure: Sendable {
    /// The worker was told to stop.
    case stopped
    /// The worker was told to go on with another plane; its sockets and its core stay as they are.
    case swap(PlaneOrder)
}

/// The planes of a worker: the one to run, and those that take over from it, in order.
public struct PlaneOrder: Sendable {
    public let first: any DataPlane
    public let fallbacks: [any DataPlane]

    public init(_ first: any DataPlane, fallbacks: [any DataPlane] = []) {
        self.first = first
        self.fallbacks = fallbacks
    }

    /// What is left when the first plane has failed.
    var withoutFirst: PlaneOrder? {
        fallbacks.first.map { PlaneOrder($0, fallbacks: Array(fallbacks.dropFirst())) }
    }
}
