import CLinux
import Glibc
import RelayWorker
package import STUN

/// A client's or a peer's plain socket.
package final class TestSocket {
    package struct Received: Equatable {
        package var bytes: [UInt8]
        package var source: TransportAddress
        package var trafficClass: UInt8
    }

    package let descriptor: Int32
    package let address: TransportAddress

    package init(_ ip: String = "127.0.0.1", port: UInt16 = 0, receiveBufferBytes: Int? = 4 << 20) throws {
        let wanted = TransportAddress(ip, port)
        // Not as a listener: those share ports, and two of these could get the same one.
        descriptor = try SystemSockets(receiveBufferBytes: receiveBufferBytes).openRelay(at: wanted)
        _ =
            wanted.family == .ipv4
            ? clinux_set_option(descriptor, SOL_IP, IP_RECVERR, 0)
            : clinux_set_option(descriptor, SOL_IPV6, IPV6_RECVERR, 0)
        address = TransportAddress(of: descriptor)
    }

    deinit { _ = clinux_close(descriptor) }

    /// Marks what is sent from now on with a DSCP and ECN byte.
    package func mark(_ trafficClass: UInt8) {
        let result =
            address.family == .ipv4
            ? clinux_set_option(descriptor, SOL_IP, IP_TOS, Int32(trafficClass))
            : clinux_set_option(descriptor, SOL_IPV6, IPV6_TCLASS, Int32(trafficClass))
        precondition(result == 0)
    }

    /// Sends one datagram, or several of `segment` bytes each in one go.
    @discardableResult
    package func send(_ bytes: [UInt8], to destination: TransportAddress, segment: Int? = nil) -> Int {
        var name = sockaddr_in6()
        let length = clinux_write_name(clinux_address(destination), &name)
        _ = clinux_set_option(descriptor, SOL_UDP, UDP_SEGMENT, Int32(segment ?? 0))
        return withUnsafePointer(to: &name) { name in
            name.withMemoryRebound(to: sockaddr.self, capacity: 1) { name in
                sendto(descriptor, bytes, bytes.count, 0, name, length)
            }
        }
    }

    /// The next datagram, waited for up to two seconds.
    package func receive(waitMilliseconds: Int32 = 2_000) -> Received? {
        var watched = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard poll(&watched, 1, waitMilliseconds) == 1 else { return nil }
        var bytes = [UInt8](repeating: 0, count: 65_536)
        var name = sockaddr_in6()
        var control = [UInt64](repeating: 0, count: Int(CLINUX_ARRIVAL_CONTROL_BYTES) / 8)
        let (count, trafficClass) = bytes.withUnsafeMutableBytes { bytes in
            control.withUnsafeMutableBytes { control in
                withUnsafeMutablePointer(to: &name) { name in
                    var vector = iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
                    return withUnsafeMutablePointer(to: &vector) { vector in
                        var message = msghdr()
                        message.msg_name = UnsafeMutableRawPointer(name)
                        message.msg_namelen = UInt32(MemoryLayout<sockaddr_in6>.size)
                        message.msg_iov = vector
                        message.msg_iovlen = 1
                        message.msg_control = control.baseAddress
                        message.msg_controllen = control.count
                        let count = recvmsg(descriptor, &message, 0)
                        return (count, clinux_read_control(&message).traffic_class)
                    }
                }
            }
        }
        guard count >= 0, let source = TransportAddress(clinux_read_name(&name)) else { return nil }
        return Received(bytes: Array(bytes.prefix(count)), source: source, trafficClass: trafficClass)
    }

    /// Everything that has arrived by now.
    package func receiveAll() -> [Received] {
        var all: [Received] = []
        while all.count < 100_000, let next = receive(waitMilliseconds: 0) { all.append(next) }
        return all
    }
}
