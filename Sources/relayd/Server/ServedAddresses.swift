import RelayCore
import STUN

/// What a relay serves now: listeners and relay addresses, those included that are on their way out.
struct ServedAddresses: Sendable, Equatable {
    /// Where new allocations are made.
    var listeners: [TransportAddress]
    /// Listeners that take no new allocations, with how many live on them yet.
    var leavingListeners: [TransportAddress: Int] = [:]
    /// Where relayed transport addresses are made.
    var relayAddresses: [RelayAddress]
    /// Relay addresses on which none are made any more, and some live.
    var leavingRelayAddresses: [RelayAddress] = []

    /// The first listener whose socket would take datagrams of another one at `address`, or the other way round.
    func rival(of address: TransportAddress) -> TransportAddress? {
        (listeners + leavingListeners.keys.sorted { $0.description < $1.description }).first { other in
            other != address && other.family == address.family && other.port == address.port
                && (other.ip.isUnspecifiedAddress || address.ip.isUnspecifiedAddress)
        }
    }

    /// The listeners of `wanted` that no worker has a socket of.
    func missing(_ wanted: [TransportAddress]) -> [TransportAddress] {
        wanted.filter { !listeners.contains($0) && leavingListeners[$0] == nil }
    }

    /// Takes over other listeners and relay addresses: what is not among them leaves.
    mutating func change(to wanted: [TransportAddress], _ relays: [RelayAddress]) {
        for gone in listeners where !wanted.contains(gone) { leavingListeners[gone] = 0 }
        for back in wanted { leavingListeners[back] = nil }
        listeners = wanted
        let former = relayAddresses + leavingRelayAddresses
        leavingRelayAddresses = former.filter { former in !relays.contains { $0.address == former.address } }
        relayAddresses = relays
    }

    /// Whether anything is on its way out.
    var isChanging: Bool { !leavingListeners.isEmpty || !leavingRelayAddresses.isEmpty }
}

/// Why other addresses were not taken over: what happened, why, and what to do.
struct AddressError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }

    /// A listener that cannot be opened beside another one.
    init(_ address: TransportAddress, rival: TransportAddress) {
        description =
            "cannot open UDP \(address): the listener \(rival) is open on the same port, and the kernel would give its "
            + "clients' datagrams to the wrong one of the two. Choose another port, or restart"
    }
}
