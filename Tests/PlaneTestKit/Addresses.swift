import CLinux
import RelayWorker
package import STUN

extension TransportAddress {
    /// An address from its text; the tests name only good ones.
    package init(_ text: String, _ port: UInt16) {
        guard let ip = IPAddress(text) else { preconditionFailure("\(text) is no address") }
        self.init(ip, port: port)
    }

    /// Where a socket is bound.
    package init(of descriptor: Int32) {
        guard let address = TransportAddress(clinux_local_address(descriptor)) else {
            preconditionFailure("descriptor \(descriptor) is not bound")
        }
        self = address
    }
}

extension AddressFamily {
    package var loopback: String { self == .ipv4 ? "127.0.0.1" : "::1" }
    package var wildcard: String { self == .ipv4 ? "0.0.0.0" : "::" }
}
