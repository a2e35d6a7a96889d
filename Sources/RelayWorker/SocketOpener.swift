public import STUN

/// Opens and closes the sockets of workers. Cold: once a listener, once an allocation.
public protocol SocketOpener: Sendable {
    /// Binds one worker's socket of a listener. Several sockets may share the address (`SO_REUSEPORT`); on a wildcard
    /// address each datagram tells the local address that it was sent to.
    func openListener(at address: TransportAddress) throws(SocketError) -> Int32

    /// Binds the relayed transport address of an allocation; nobody else can bind it.
    func openRelay(at address: TransportAddress) throws(SocketError) -> Int32

    func close(_ descriptor: Int32)
}
