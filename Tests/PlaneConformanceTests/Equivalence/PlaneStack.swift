import DataPlaneIOUring
import DataPlaneSocket
import DataPlaneXDP
import Foundation
import Glibc
import PlaneTestKit
import RelayWorker
import STUN

/// A plane as a relay runs it: by itself, or with the kernel's routes above it.
enum PlaneStack: CaseIterable, CustomStringConvertible {
    case socket, ioUring, xdpOverSocket, xdpOverIOUring

    var description: String {
        switch self {
        case .socket: "socket"
        case .ioUring: "io-uring"
        case .xdpOverSocket: "xdp over socket"
        case .xdpOverIOUring: "xdp over io-uring"
        }
    }

    var forwardsInKernel: Bool { self == .xdpOverSocket || self == .xdpOverIOUring }

    private var userspace: PlaneUnderTest {
        switch self {
        case .socket, .xdpOverSocket: .socket
        case .ioUring, .xdpOverIOUring: .ioUring
        }
    }

    /// The plane, and the session of its program where it has one. To be called inside of the relay's namespace.
    func make(addresses: [IPAddress], relayAddresses: [IPAddress]) throws -> (plane: any DataPlane, xdp: XDPSession?) {
        let below = userspace.plane()
        guard forwardsInKernel else { return (below, nil) }
        var options = XDPOptions()
        options.addresses = addresses + relayAddresses
        options.relayAddresses = relayAddresses
        options.routes = 256
        options.isRequested = true
        let session = try XDPSession(options)
        return (XDPPlane(session, slowPath: below), session)
    }

    /// The stacks that this host allows: all of them for root in the first user namespace, on a kernel with io_uring.
    static let usable: [PlaneStack] = allCases.filter { stack in
        PlaneUnderTest.usable.contains(stack.userspace) && (!stack.forwardsInKernel || mayLoadPrograms)
    }

    /// BPF programs are loaded with the rights of the first user namespace only.
    private static var mayLoadPrograms: Bool {
        guard getuid() == 0, let map = try? String(contentsOfFile: "/proc/self/uid_map", encoding: .utf8) else {
            return false
        }
        return map.split(whereSeparator: \.isWhitespace) == ["0", "0", "4294967295"]
    }
}
