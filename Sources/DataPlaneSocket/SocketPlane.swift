import CLinux
public import RelayWorker
import STUN

/// The plane for any kernel: epoll, `recvmmsg`, `sendmmsg`, and UDP GRO and GSO where the kernel has them.
public struct SocketPlane: DataPlane {
    /// What the plane may use; for measuring, and for hosts where an offload does harm.
    public struct Options: Sendable, Equatable {
        /// Take several datagrams of one flow in one buffer (`UDP_GRO`).
        public var receiveOffload: Bool
        /// Hand several datagrams of one flow to the kernel in one message (`UDP_SEGMENT`).
        public var segmentationOffload: Bool
        /// Hand single datagrams of many relay sockets to the kernel by one raw socket an address.
        public var rawSending: Bool

        public init(receiveOffload: Bool = true, segmentationOffload: Bool = true, rawSending: Bool = true) {
            self.receiveOffload = receiveOffload
            self.segmentationOffload = segmentationOffload
            self.rawSending = rawSending
        }
    }

    /// What the plane will do on this host.
    public struct Features: Sendable, Equatable, CustomStringConvertible {
        public let hasReceiveOffload: Bool
        public let hasSegmentationOffload: Bool
        /// Needs `CAP_NET_RAW`; without it every relay socket sends for itself, which costs a call each.
        public let hasRawSending: Bool

        public var description: String {
            "epoll, recvmmsg/sendmmsg, GRO \(hasReceiveOffload ? "on" : "off"), "
                + "GSO \(hasSegmentationOffload ? "on" : "off"), raw sending \(hasRawSending ? "on" : "off")"
        }
    }

    public let options: Options

    public init(options: Options = Options()) { self.options = options }

    public var name: String { "socket" }

    /// Tries on throw-away descriptors what the plane needs.
    /// - Returns: what it will do here.
    public func probe() throws(PlaneError) -> Features {
        _ = try Poller()
        var descriptor = clinux_open_udp(4)
        if descriptor == -EAFNOSUPPORT { descriptor = clinux_open_udp(6) }
        guard descriptor >= 0 else {
            throw PlaneError(
                what: "opening a UDP socket", why: String(systemErrorNumber: -descriptor),
                mend: "Let this process use the network (systemd RestrictAddressFamilies, seccomp)")
        }
        defer { _ = clinux_close(descriptor) }
        return Features(
            hasReceiveOffload: options.receiveOffload && clinux_set_option(descriptor, SOL_UDP, UDP_GRO, 1) >= 0,
            hasSegmentationOffload: options.segmentationOffload
                && clinux_set_option(descriptor, SOL_UDP, UDP_SEGMENT, 1200) >= 0,
            hasRawSending: options.rawSending && Self.maySendRaw())
    }

    private static func maySendRaw() -> Bool {
        let descriptor = clinux_open_raw(4, clinux_address(IPAddress(v4: 0), port: 0))
        guard descriptor >= 0 else { return false }
        _ = clinux_close(descriptor)
        return true
    }

    public func run(_ worker: inout Worker) throws(PlaneError) -> Departure {
        var io = try SocketIO(try probe())
        return try worker.drive(&io)
    }
}
