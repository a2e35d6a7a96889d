import CLinux
public import STUN

/// The sockets of the operating system. All are non-blocking and closed on exec; IPv6 ones never take IPv4 traffic.
///
/// Every socket tells the DSCP and ECN of what it receives (`IP_RECVTOS`, `IPV6_RECVTCLASS`) and how much its receive
/// buffer dropped (`SO_RXQ_OVFL`). Relay sockets queue ICMP errors (`IP_RECVERR`, `IPV6_RECVERR`); on listeners those
/// would only let a client that has gone fail the next call for another one.
public struct SystemSockets: SocketOpener {
    /// Bytes of `SO_RCVBUF` and `SO_SNDBUF`; nothing leaves the kernel's default.
    public let receiveBufferBytes: Int?
    public let sendBufferBytes: Int?

    public init(receiveBufferBytes: Int? = nil, sendBufferBytes: Int? = nil) {
        self.receiveBufferBytes = receiveBufferBytes
        self.sendBufferBytes = sendBufferBytes
    }

    public func openListener(at address: TransportAddress) throws(SocketError) -> Int32 {
        let isWildcard = address.ip.high == 0 && address.ip.low == 0
        return try open(at: address) { descriptor throws(OptionRefused) in
            try set(descriptor, SOL_SOCKET, SO_REUSEPORT, 1)
            guard isWildcard else { return }
            switch address.family {
            case .ipv4: try set(descriptor, SOL_IP, IP_PKTINFO, 1)
            case .ipv6: try set(descriptor, SOL_IPV6, IPV6_RECVPKTINFO, 1)
            }
        }
    }

    public func openRelay(at address: TransportAddress) throws(SocketError) -> Int32 {
        try open(at: address) { descriptor throws(OptionRefused) in
            switch address.family {
            case .ipv4: try set(descriptor, SOL_IP, IP_RECVERR, 1)
            case .ipv6: try set(descriptor, SOL_IPV6, IPV6_RECVERR, 1)
            }
        }
    }

    public func close(_ descriptor: Int32) {
        // Linux closes the descriptor whatever close returns.
        _ = clinux_close(descriptor)
    }

    /// Refuses an address that any other socket is bound to, one of a `SO_REUSEPORT` group too: otherwise a second
    /// server of the same user would quietly take a share of the clients. To be asked before the group opens.
    public func checkListenerIsFree(at address: TransportAddress) throws(SocketError) {
        let descriptor = clinux_open_udp(address.family == .ipv4 ? 4 : 6)
        guard descriptor >= 0 else { throw SocketError(errno: -descriptor, at: address) }
        let result = clinux_bind(descriptor, clinux_address(address))
        close(descriptor)
        guard result >= 0 else { throw SocketError(errno: -result, at: address) }
    }

    /// The bytes of payload and bookkeeping that the kernel granted a socket (half of what it reports, which is doubled).
    public static func grantedBufferBytes(of descriptor: Int32) -> (receive: Int, send: Int) {
        (
            receive: Int(max(0, clinux_option(descriptor, SOL_SOCKET, SO_RCVBUF))) / 2,
            send: Int(max(0, clinux_option(descriptor, SOL_SOCKET, SO_SNDBUF))) / 2
        )
    }

    /// Raises the soft limit of open descriptors to the hard limit, since every allocation takes a socket.
    /// - Returns: the limit that holds now.
    @discardableResult
    public static func raiseDescriptorLimit() throws(SocketError) -> Int {
        let limit = clinux_raise_descriptor_limit()
        guard limit >= 0 else { throw SocketError(errno: Int32(-limit), subject: "more descriptors") }
        return Int(limit)
    }

    private func open(
        at address: TransportAddress, prepare: (Int32) throws(OptionRefused) -> Void
    ) throws(SocketError) -> Int32 {
        let descriptor = clinux_open_udp(address.family == .ipv4 ? 4 : 6)
        guard descriptor >= 0 else { throw SocketError(errno: -descriptor, at: address) }
        do throws(OptionRefused) {
            try setCommonOptions(of: descriptor, family: address.family)
            try prepare(descriptor)
            let result = clinux_bind(descriptor, clinux_address(address))
            guard result >= 0 else { throw OptionRefused(errno: -result) }
            return descriptor
        } catch {
            close(descriptor)
            throw SocketError(errno: error.errno, at: address)
        }
    }

    private func setCommonOptions(of descriptor: Int32, family: AddressFamily) throws(OptionRefused) {
        switch family {
        case .ipv4:
            try set(descriptor, SOL_IP, IP_RECVTOS, 1)
            // DF clear, and no path MTU remembered: a forged "fragmentation needed" must not cut everybody's datagrams
            // into small pieces, and RFC 8656 section 14.1 lets routers fragment what is relayed.
            try set(descriptor, SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_OMIT)
        case .ipv6:
            // Only senders fragment IPv6, so here the path MTU is honoured, which is the kernel's default.
            try set(descriptor, SOL_IPV6, IPV6_RECVTCLASS, 1)
        }
        try set(descriptor, SOL_SOCKET, SO_RXQ_OVFL, 1)
        if let bytes = receiveBufferBytes {
            try setBuffer(of: descriptor, forced: SO_RCVBUFFORCE, limited: SO_RCVBUF, bytes: bytes)
        }
        if let bytes = sendBufferBytes {
            try setBuffer(of: descriptor, forced: SO_SNDBUFFORCE, limited: SO_SNDBUF, bytes: bytes)
        }
    }

    /// Beyond `net.core.rmem_max` and `wmem_max` when privileged (`CAP_NET_ADMIN`), else up to them.
    private func setBuffer(
        of descriptor: Int32, forced: Int32, limited: Int32, bytes: Int
    ) throws(OptionRefused) {
        let value = Int32(clamping: bytes)
        guard clinux_set_option(descriptor, SOL_SOCKET, forced, value) < 0 else { return }
        try set(descriptor, SOL_SOCKET, limited, value)
    }

    private func set(_ descriptor: Int32, _ level: Int32, _ name: Int32, _ value: Int32) throws(OptionRefused) {
        let result = clinux_set_option(descriptor, level, name, value)
        guard result >= 0 else { throw OptionRefused(errno: -result) }
    }
}

/// A step of opening a socket that the kernel refused.
private struct OptionRefused: Error {
    let errno: Int32
}
