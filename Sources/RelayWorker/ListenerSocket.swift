public import STUN
import Synchronization

/// One worker's socket of a listener, bound and on its way to the worker. Whoever takes it owns the descriptor; one that
/// nobody took is closed.
public final class ListenerSocket: Sendable {
    public let address: TransportAddress
    private let descriptor: Mutex<Int32?>
    private let opener: any SocketOpener

    /// Binds it.
    public init(at address: TransportAddress, _ opener: any SocketOpener) throws(SocketError) {
        self.address = address
        self.opener = opener
        let opened = try opener.openListener(at: address)
        descriptor = Mutex(opened)
    }

    deinit { close() }

    /// Closes it, unless somebody has taken it.
    public func close() {
        if let descriptor = take() { opener.close(descriptor) }
    }

    func take() -> Int32? { descriptor.withLock { $0.take() } }
}
