import Logging
import RelayWorker
import ServiceLifecycle

/// Tells the service manager when the relay is ready and when it stops, and, where that is wanted, that all of its
/// workers still turn: a sign of life is sent only while each of them reads its mail.
struct Watchdog: Service {
    let manager: ServiceManager
    let server: RelayServer
    let logger: Logger

    func run() async throws {
        manager.ready("relaying with \(server.planeText)")
        defer { manager.stopping() }
        guard let interval = manager.watchdogMicroseconds, interval > 0 else { return try await gracefulShutdown() }
        do {
            try await cancelWhenGracefulShutdown {
                try await self.watch(every: .microseconds(Int64(clamping: interval / 4)))
            }
        } catch is CancellationError {}
    }

    private func watch(every pause: Duration) async throws {
        var isSilent = false
        while true {
            for link in server.links where link.isAnswered { link.ping() }
            try await Task.sleep(for: pause)
            let silent = server.links.count { !$0.isAnswered }
            if silent == 0 { manager.signOfLife() }
            if silent > 0, !isSilent { logger.error("workers do not turn", metadata: ["workers": "\(silent)"]) }
            isSilent = silent > 0
        }
    }
}
