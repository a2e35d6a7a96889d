import Logging
import RelayCore
import RelayWorker
import STUN

extension RelayServer {
    /// The plane that runs and what it does, for a person.
    var planeText: String { "\(planes.choice.chosen) (\(planes.choice.promise))" }

    /// One readable block: what was chosen and why, where the relay listens, and where it relays.
    func announce(_ settings: Settings, to logger: Logger) {
        for refusal in planes.choice.refusals {
            logger.info("data plane refused", metadata: ["plane": "\(refusal.name)", "reason": "\(refusal.reason)"])
        }
        logger.info(
            "data plane chosen", metadata: ["plane": "\(planes.choice.chosen)", "does": "\(planes.choice.promise)"])
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
