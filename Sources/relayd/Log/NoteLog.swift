import Logging
import RelayCore
import STUN

/// What the cores have to say, as log lines. Allocations are the record and are always told; what a client can bring
/// about as often as it likes is limited.
struct NoteLog: Sendable {
    private let logger: Logger
    private let limiter: NoteLimiter

    init(logger: Logger) {
        self.init(
            logger: logger,
            limiter: NoteLimiter { event, count in
                logger.warning(
                    "log lines suppressed", metadata: ["suppressed": "\(event)", "count": .number(count)])
            })
    }

    init(logger: Logger, limiter: NoteLimiter) {
        self.logger = logger
        self.limiter = limiter
    }

    func callAsFunction(_ note: Note) {
        switch note {
        case .allocationCreated(let summary, let lifetimeSeconds):
            logger.info(
                "allocation created", metadata: summary.metadata + ["lifetime_s": .number(lifetimeSeconds)])
        case .allocationEnded(let summary, let reason, let traffic, let ageSeconds):
            logger.info(
                "allocation ended",
                metadata: summary.metadata + traffic.metadata
                    + ["reason": "\(reason.rawValue)", "age_s": .number(ageSeconds)])
        case .peerDenied(let client, let username, let peer, let rule):
            log(
                .notice, "peer denied",
                ["client": "\(client)", "user": "\(username)", "peer": "\(peer)", "rule": "\(rule)"])
        case .quotaReached(let client, let username, let quota):
            log(
                .notice, "quota reached",
                ["client": "\(client)", "user": "\(username)", "quota": "\(quota.rawValue)"])
        case .portsExhausted(let family):
            log(.warning, "relay ports exhausted", ["family": "\(family)"])
        case .relayRefused(let address, let reason):
            log(.warning, "relay socket refused", ["relay": "\(address)", "reason": "\(reason)"])
        case .sheddingBegan:
            log(
                .warning, "load shedding began",
                ["reason": "a worker cannot keep up; clients without an allocation are not answered"])
        case .sheddingEnded(let droppedDatagrams, let milliseconds):
            log(
                .notice, "load shedding ended",
                ["dropped": .number(droppedDatagrams), "duration_ms": .number(milliseconds)])
        }
    }

    private func log(_ level: Logger.Level, _ event: String, _ metadata: @autoclosure () -> Logger.Metadata) {
        guard level >= logger.logLevel, limiter.admits(event) else { return }
        logger.log(level: level, "\(event)", metadata: metadata())
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

extension SessionTraffic {
    /// The totals, and the same with a plane's name in front for each plane that carried.
    fileprivate var metadata: Logger.Metadata {
        shares.reduce(total.metadata(prefix: "")) { sum, share in
            sum + share.traffic.metadata(prefix: share.plane.replacing("-", with: "_") + "_")
        }
    }
}

extension AllocationTraffic {
    fileprivate func metadata(prefix: String) -> Logger.Metadata {
        [
            prefix + "to_peers_packets": .number(packetsToPeers), prefix + "to_peers_bytes": .number(bytesToPeers),
            prefix + "to_client_packets": .number(packetsToClient), prefix + "to_client_bytes": .number(bytesToClient),
        ]
    }
}

private func + (left: Logger.Metadata, right: Logger.Metadata) -> Logger.Metadata { left.merging(right) { $1 } }
