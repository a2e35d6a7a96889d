import RelayCore
import RelayWorker
import STUN

extension Settings {
    /// The core's configuration of a relay that starts.
    func coreConfiguration() throws(StartError) -> Configuration {
        let host: [IPAddress]
        do throws(PlaneError) {
            host = try HostAddresses.all()
        } catch {
            throw StartError(error.description, .unavailable)
        }
        return try coreConfiguration(host: host, routed: HostAddresses.ofDefaultRoutes())
    }

    /// - Parameters:
    ///   - host: the addresses of this host.
    ///   - routed: its relay addresses where none are named.
    func coreConfiguration(
        host: [IPAddress], routed: @autoclosure () -> [IPAddress]
    ) throws(StartError) -> Configuration {
        var configuration = Configuration()
        configuration.realm = realm
        configuration.relayAddresses = try pairedRelayAddresses(relayAddresses.isEmpty ? routed() : relayAddresses)
        configuration.relayPorts = relayPorts
        configuration.ownAddresses = host + externalAddresses
        applyPolicy(to: &configuration)
        return configuration
    }

    /// Relay addresses with their external ones: one external address goes with every relay address of its family,
    /// several go with them in order.
    private func pairedRelayAddresses(_ addresses: [IPAddress]) throws(StartError) -> [RelayAddress] {
        guard !addresses.isEmpty else {
            throw StartError(
                "no relay address: this host has no default route to take one from. Name one with --relay-address ADDR.",
                .configuration)
        }
        for external in externalAddresses where !addresses.contains(where: { $0.family == external.family }) {
            throw StartError(
                "external-address: \(external) has no effect: the default routes of this host give no relay address of "
                    + "its family. Name one with --relay-address ADDR.", .configuration)
        }
        var seen: [AddressFamily: Int] = [:]
        return addresses.map { address in
            let externals = externalAddresses.filter { $0.family == address.family }
            let position = seen[address.family, default: 0]
            seen[address.family] = position + 1
            let external = externals.isEmpty ? nil : externals[min(position, externals.count - 1)]
            return RelayAddress(address: address, external: external)
        }
    }
}

/// Why the relay did not start, and the exit status that says which kind of trouble it is (sysexits.h).
struct StartError: Error, CustomStringConvertible {
    enum Kind: Int32 {
        /// EX_UNAVAILABLE: the host refused something.
        case unavailable = 69
        /// EX_CONFIG: the options are at fault.
        case configuration = 78
    }

    let description: String
    let kind: Kind

    init(_ description: String, _ kind: Kind) {
        self.description = description
        self.kind = kind
    }
}
