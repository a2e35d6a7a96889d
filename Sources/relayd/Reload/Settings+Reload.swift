import RelayCore
import STUN

extension Admission {
    /// New allocations are sent to the alternate of their client's family.
    static func redirect(to alternates: [TransportAddress]) -> Admission {
        .redirect(ipv4: alternates.first { $0.family == .ipv4 }, ipv6: alternates.first { $0.family == .ipv6 })
    }
}

extension Settings {
    /// What holds after a reload of `new`: its values of reloadable keys, and of all others the ones that run.
    func reloading(_ new: Settings) -> Settings {
        var merged = self
        // A demo brings its own, and needs a restart: its options name none.
        if !new.isDemo {
            merged.listen = new.listen
            merged.relayAddresses = new.relayAddresses
            merged.externalAddresses = new.externalAddresses
        }
        merged.users = new.users
        merged.authSecrets = new.authSecrets
        merged.peerProfile = new.peerProfile
        merged.allowPeers = new.allowPeers
        merged.denyPeers = new.denyPeers
        merged.allocationsPerUser = new.allocationsPerUser
        merged.allocationsTotal = new.allocationsTotal
        merged.permissionsPerAllocation = new.permissionsPerAllocation
        merged.channelsPerAllocation = new.channelsPerAllocation
        merged.newPeerRate = new.newPeerRate
        merged.allocationRate = new.allocationRate
        merged.userRate = new.userRate
        merged.unauthenticatedRate = new.unauthenticatedRate
        merged.nonceLifetimeSeconds = new.nonceLifetimeSeconds
        merged.acceptsRFC5766ChannelNumbers = new.acceptsRFC5766ChannelNumbers
        merged.logLevel = new.logLevel
        merged.alternateServers = new.alternateServers
        merged.drainTimeoutSeconds = new.drainTimeoutSeconds
        return merged
    }

    /// Sets what of a core's configuration is no address.
    func applyPolicy(to configuration: inout Configuration) {
        configuration.users = users
        configuration.authSecrets = authSecrets
        configuration.peerPolicy = PeerPolicy(profile: peerProfile, allow: allowPeers, deny: denyPeers)
        configuration.allocationsPerUser = allocationsPerUser
        configuration.allocationsTotal = allocationsTotal
        configuration.permissionsPerAllocation = permissionsPerAllocation
        configuration.channelsPerAllocation = channelsPerAllocation
        configuration.newPeerRate = newPeerRate
        configuration.allocationRate = allocationRate
        configuration.userRate = userRate
        configuration.unauthenticatedRate = unauthenticatedRate
        configuration.channelNumbers = acceptsRFC5766ChannelNumbers ? .rfc5766 : .rfc8656
        configuration.nonceLifetimeSeconds = nonceLifetimeSeconds
        configuration.leavingAdmission = .redirect(to: alternateServers)
    }
}
