import STUN

extension RelayCore {
    /// Takes over everything of `new` but realm and relay ports, which stay as they were.
    ///
    /// Living allocations stay. Those of users and secrets that are gone cannot be refreshed any more (401), nor can
    /// their permissions and channels, so they lapse by themselves. A permission for a peer that the new rules deny ends
    /// at once, and the channels of that peer with it: whoever closes a hole wants it closed. On a relay address that is gone
    /// no new allocations are made.
    public mutating func reconfigure(_ new: Configuration, into effects: inout Effects) {
        let old = configuration
        configuration = new
        configuration.realm = old.realm
        configuration.relayPorts = old.relayPorts
        if new.relayAddresses != old.relayAddresses { offer(new.relayAddresses) }
        authenticator.reconfigure(configuration)
        if new.unauthenticatedRate != old.unauthenticatedRate {
            unauthenticated = Self.unauthenticatedBuckets(configuration, seed: entropy.next())
        }
        applyRates(replacing: old, into: &effects)
        if new.peerPolicy != old.peerPolicy || new.ownAddresses != old.ownAddresses {
            withdrawDeniedPermissions(into: &effects)
        }
    }

    /// From now on every new Allocate is answered as `admission` says; what lives goes on, refreshes included.
    public mutating func drain(_ admission: Admission) { drained = admission }

    static func unauthenticatedBuckets(_ configuration: Configuration, seed: UInt64) -> TokenBuckets {
        TokenBuckets(
            ratePerSecond: UInt32(clamping: configuration.unauthenticatedRate),
            burst: UInt32(clamping: max(1, 2 * configuration.unauthenticatedRate)), seed: seed)
    }

    private mutating func withdrawDeniedPermissions(into effects: inout Effects) {
        var denied: [UInt32] = []
        permissions.forEach { handle, permission in
            // A permission is for an address; the port is looked at where one is used.
            let peer = TransportAddress(permission.peer, port: 0)
            if denial(of: peer, .anyPort) != nil { denied.append(handle.index) }
        }
        for index in denied { endPermission(index, into: &effects) }
    }
}
