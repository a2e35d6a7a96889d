import CLinux

/// The descriptor by which the kernel tells that addresses of this host come and go.
public enum AddressNotices {
    public static func open() throws(SocketError) -> Int32 {
        let descriptor = clinux_netlink_listen_addresses()
        guard descriptor >= 0 else { throw SocketError(errno: -descriptor, subject: "the notices of address changes") }
        return descriptor
    }

    /// Takes all notices that wait. What changed is to be read afterwards: notices may have been lost.
    public static func drain(_ descriptor: Int32) { clinux_netlink_drain(descriptor) }

    public static func close(_ descriptor: Int32) { _ = clinux_close(descriptor) }
}
