/// Which way a payload goes. Rates are counted for each by itself.
@frozen
public enum RelayDirection: Int, Sendable {
    case toPeer, toClient
}

extension AllocationTraffic {
    /// Payload in bytes and in datagrams.
    func amount(_ direction: RelayDirection) -> (bytes: UInt64, packets: UInt64) {
        switch direction {
        case .toPeer: (bytesToPeers, packetsToPeers)
        case .toClient: (bytesToClient, packetsToClient)
        }
    }
}
