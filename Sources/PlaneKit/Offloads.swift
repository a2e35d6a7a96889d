import CLinux
public import RelayWorker
import STUN

/// What the kernel does for userspace planes, where it does and unless it is switched off: for measuring, and for hosts
/// where one does harm.
public struct Offloads: Sendable, Equatable, CustomStringConvertible {
    /// Several datagrams of one flow come in one buffer (`UDP_GRO`).
    public var receive: Bool
    /// Several datagrams of one flow leave by one message (`UDP_SEGMENT`).
    public var segmentation: Bool
    /// Single datagrams of many relay sockets leave by one raw socket an address. Needs `CAP_NET_RAW`.
    public var rawSending: Bool

    public init(receive: Bool = true, segmentation: Bool = true, rawSending: Bool = true) {
        self.receive = receive
        self.segmentation = segmentation
        self.rawSending = rawSending
    }

    public static let none = Offloads(receive: false, segmentation: false, rawSending: false)

    public var description: String {
        func word(_ isOn: Bool) -> String { isOn ? "on" : "off" }
        return "GRO \(word(receive)), GSO \(word(segmentation)), raw sending \(word(rawSending))"
    }

    /// Those of them that this host allows, tried on throw-away descriptors.
    public func allowedHere() throws(PlaneError) -> Offloads {
        var descriptor = clinux_open_udp(4)
        if descriptor == -EAFNOSUPPORT { descriptor = clinux_open_udp(6) }
        guard descriptor >= 0 else {
            throw PlaneError(
                what: "opening a UDP socket", why: String(systemErrorNumber: -descriptor),
                mend: "Let this process use the network (systemd RestrictAddressFamilies, seccomp)")
        }
        defer { _ = clinux_close(descriptor) }
        return Offloads(
            receive: receive && clinux_set_option(descriptor, SOL_UDP, UDP_GRO, 1) >= 0,
            segmentation: segmentation && clinux_set_option(descriptor, SOL_UDP, UDP_SEGMENT, 1200) >= 0,
            rawSending: rawSending && Self.maySendRaw())
    }

    private static func maySendRaw() -> Bool {
        let descriptor = clinux_open_raw(4, clinux_address(IPAddress(v4: 0), port: 0))
        guard descriptor >= 0 else { return false }
        _ = clinux_close(descriptor)
        return true
    }
}
