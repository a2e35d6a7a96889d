import STUN

@testable import RelayCore

extension Configuration {
    /// The relay of the scripts: two families, six ports each, documentation networks as the world.
    static var script: Configuration {
        var configuration = Configuration()
        configuration.users = [
            StaticUser(name: "alice", password: "alice's secret"), StaticUser(name: "bob", password: "bob's secret"),
        ]
        configuration.relayAddresses = [
            RelayAddress(address: ip("203.0.113.1")), RelayAddress(address: ip("2001:db8:1::1")),
        ]
        configuration.relayPorts = 50_000...50_005
        configuration.peerPolicy = PeerPolicy(profile: .public, allow: cidrs("192.0.2.0/24", "2001:db8::/32"), deny: [])
        // So that scripts that let hours pass need not greet again; the tests of nonces say their own.
        configuration.nonceLifetimeSeconds = 8 * 3600
        configuration.ownAddresses = [ip("203.0.113.1"), ip("2001:db8:1::1"), ip("203.0.113.9")]
        return configuration
    }

    /// The same with one port, so that a script knows which one it gets.
    static var onePort: Configuration {
        var configuration = script
        configuration.relayPorts = 50_000...50_000
        return configuration
    }

    /// The same with one even port and its sibling.
    static var onePair: Configuration {
        var configuration = script
        configuration.relayPorts = 50_000...50_001
        return configuration
    }

    /// A configuration with something changed.
    func with(_ change: (inout Configuration) -> Void) -> Configuration {
        var changed = self
        change(&changed)
        return changed
    }
}

/// Networks that a script writes down.
func cidrs(_ texts: String...) -> [CIDR] {
    texts.map { text in
        guard let network = try? CIDR(text) else { preconditionFailure("\(text) is no network") }
        return network
    }
}
