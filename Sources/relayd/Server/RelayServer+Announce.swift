import Logging
import RelayCore
import RelayWorker
import STUN

extension RelayServer {
    /// The plane that runs and what it does, for a person.
    var planeText: String {
        let now = planes.status
        return "\(now.plane) (\(now.promise))"
    }

    /// One readable block: what was chosen and why, where the relay listens, and where it relays.
    func announce(_ settings: Settings, to logger: Logger) {
        for refusal in planes.choice.refusals {
            logger.info("data plane refused", metadata: ["plane": "\(refusal.name)", "reason": "\(refusal.reason)"])
        }
        let next = planes.awaitsXDP ? ["next": "xdp, if this host loads its program"] as Logger.Metadata : [:]
        logger.info(
            "data plane chosen",
            metadata: ["plane": "\(planes.choice.chosen)", "does": "\(planes.choice.promise)"].merging(next) { $1 })
        let configuration = addresses.configuration
        for relay in configuration.relayAddresses {
            let external = relay.external.map { ["external": "\($0)"] as Logger.Metadata } ?? [:]
            logger.info(
                "relay address",
                metadata: ["address": "\(relay.address)", "ports": "\(settings.relayPorts.text)"]
                    .merging(external) { $1 })
        }
        logger.info(
            "started",
            metadata: [
                "version": "\(Version.number)", "workers": .number(links.count), "realm": "\(configuration.realm)",
                "listen": "\(settings.listen.map(\.description).joined(separator: ","))",
            ])
    }
}
