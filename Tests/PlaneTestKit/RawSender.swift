import CLinux
import Glibc
import RelayWorker
package import STUN

/// Sends whole IP packets from an address, so that a test says every header field.
package final class RawSender {
    private let descriptor: Int32

    /// To be made inside of the namespace that has the address.
    package init(from source: IPAddress) throws {
        let version: UInt8 = source.family == .ipv4 ? 4 : 6
        descriptor = clinux_open_raw(version, clinux_address(TransportAddress(source, port: 0)))
        guard descriptor >= 0 else { throw SystemCallFailed(name: "socket(SOCK_RAW)", error: -descriptor) }
    }

    deinit { _ = clinux_close(descriptor) }

    /// - Parameter packet: from its IP header on.
    package func send(_ packet: [UInt8], to destination: IPAddress) throws {
        var name = sockaddr_in6()
        let length = clinux_write_name(clinux_address(TransportAddress(destination, port: 0)), &name)
        let sent = withUnsafePointer(to: &name) { name in
            name.withMemoryRebound(to: sockaddr.self, capacity: 1) { name in
                sendto(descriptor, packet, packet.count, 0, name, length)
            }
        }
        guard sent == packet.count else { throw SystemCallFailed(name: "sendto(SOCK_RAW)", error: errno) }
    }
}
