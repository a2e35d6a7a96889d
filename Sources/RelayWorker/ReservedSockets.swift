import STUN
import Synchronization

/// The sibling sockets that EVEN-PORT reserved, bound and waiting for whichever worker's client brings the token.
public final class ReservedSockets: Sendable {
    private let descriptors = Mutex<[TransportAddress: Int32]>([:])
    private let opener: any SocketOpener

    /// - Parameter opener: closes what nobody claimed by the time that the last worker is gone.
    public init(opener: any SocketOpener) { self.opener = opener }

    deinit {
        let unclaimed = descriptors.withLock { $0.values.sorted() }
        for descriptor in unclaimed { opener.close(descriptor) }
    }

    func put(_ descriptor: Int32, at address: TransportAddress) {
        let former = descriptors.withLock { $0.updateValue(descriptor, forKey: address) }
        precondition(former == nil, "two sockets reserved at \(address)")
    }

    func take(_ address: TransportAddress) -> Int32? {
        descriptors.withLock { $0.removeValue(forKey: address) }
    }
}
