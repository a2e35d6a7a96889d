import Logging
import RelayCore
import STUN

/// What the cores have to say, as log lines.
struct NoteLog: Sendable {
    let logger: Logger

    func callAsFunction(_ note: Note) {
        switch note {
        case .allocationCreated(let summary, let lifetimeSeconds):
            logger.info("allocation created", metadata: summary.metadata + ["lifetime_s": "\(lifetimeSeconds)"])
        case .allocationEnded(let summary, let reason, let traffic, let ageSeconds):
            logger.info(
                "allocation ended",
                metadata: summary.metadata + traffic.metadata
                    + ["reason": "\(reason.rawValue)", "age_s": "\(ageSeconds)"])
        case .peerDenied(let client, let username, let peer, let rule):
            logger.notice(
                "peer denied",
                metadata: ["client": "\(client)", "user": "\(username)", "peer": "\(peer)", "rule": "\(rule)"])
        case .quotaReached(let client, let username, let quota):
            logger.notice(
                "quota reached",
                metadata: ["client": "\(client)", "user": "\(username)", "quota": "\(quota.rawValue)"])
        case .portsExhausted(let family):
            logger.warning("relay ports exhausted", metadata: ["family": "\(family)"])
        case .relayRefused(let address, let reason):
            logger.warning("relay socket refused", metadata: ["relay": "\(address)", "reason": "\(reason)"])
        }
    }
}

extension AllocationSummary {
    fileprivate var metadata: Logger.Metadata {
        [
            "client": "\(client)", "server": "\(server)", "user": "\(username)",
            "relayed": "\(relayed.map(\.description).joined(separator: ","))",
        ]
    }
}

extension AllocationTraffic {
    fileprivate var metadata: Logger.Metadata {
        [
            "to_peers_packets": "\(packetsToPeers)", "to_peers_bytes": "\(bytesToPeers)",
            "to_client_packets": "\(packetsToClient)", "to_client_bytes": "\(bytesToClient)",
        ]
    }
}

private func + (left: Logger.Metadata, right: Logger.Metadata) -> Logger.Metadata { left.merging(right) { $1 } }
