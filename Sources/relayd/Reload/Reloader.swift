import Logging
import RelayCore
import RelayWorker
import ServiceLifecycle

/// Reads the options again when asked to, and applies what a reload can: to all workers, or not at all. What else changes
/// addresses is done here too, so that there is one change at a time.
struct Reloader: Service {
    let options: CommandLineOptions
    let started: LoadedSettings
    let demo: Demo?
    let server: RelayServer
    let threshold: LogThreshold
    let manager: ServiceManager
    let logger: Logger
    let orders: ReloadOrders
    /// Asks for a reload when a file changes; nothing where that is not wanted.
    let watch: ConfigWatch?
    let events: RelayEvents

    /// How often what leaves is looked at.
    private static let look = Duration.seconds(1)

    func run() async throws {
        var latest = started
        var isLookAwaited = false
        for await _ in orders.calls.cancelOnGracefulShutdown() {
            let waiting = orders.take()
            if waiting.contains(.followHost) { server.addresses.followHost() }
            if waiting.contains(.reload) {
                manager.reloading()
                latest = await reload(latest)
                watch?.follow(latest.paths)
                manager.ready()
            }
            if waiting.contains(.finishLeaving) {
                isLookAwaited = false
                await server.addresses.finishLeaving()
            }
            if server.addresses.isChanging, !isLookAwaited {
                isLookAwaited = true
                lookAgain()
            }
        }
    }

    private func lookAgain() {
        Task { [orders] in
            try await Task.sleep(for: Self.look)
            orders.post(.finishLeaving)
        }
    }

    /// - Returns: what holds now: the new options, or the ones before if there is anything wrong with them.
    private func reload(_ latest: LoadedSettings) async -> LoadedSettings {
        let new = LoadedSettings(options)
        let merged = started.settings.reloading(new.settings)
        let problems = new.problems.isEmpty ? merged.contradictions() : new.problems
        guard problems.isEmpty else {
            for problem in problems { logger.error("configuration refused", metadata: ["reason": "\(problem)"]) }
            events.noteReload(.failure)
            logger.error("configuration kept", metadata: ["reason": "nothing was changed; relayd check says the same"])
            return latest
        }
        let changes = OptionChange.all(from: latest, startedAs: started, to: new)
        let settings = demo?.apply(to: merged) ?? merged
        do throws(AddressError) {
            try await server.addresses.apply(settings)
        } catch {
            events.noteReload(.failure)
            logger.error("configuration refused", metadata: ["reason": "\(error)"])
            logger.error(
                "configuration kept",
                metadata: ["reason": "nothing was changed, what was opened is closed again; mend that, then reload"])
            return latest
        }
        events.noteReload(.success)
        server.drain.reconfigure(settings)
        // Said if either the old level or the new one lets it through.
        threshold.level = min(threshold.level, merged.logLevel)
        report(changes)
        threshold.level = merged.logLevel
        return new
    }

    private func report(_ changes: [OptionChange]) {
        for change in changes {
            var metadata = Logger.Metadata(uniqueKeysWithValues: change.details.map { ($0.key, "\($0.value)") })
            metadata["key"] = "\(change.key.rawValue)"
            if change.key.isReloadable {
                logger.notice("option changed", metadata: metadata)
            } else {
                logger.warning("option needs a restart", metadata: metadata)
            }
        }
        let applied = changes.count { $0.key.isReloadable }
        logger.notice(
            "configuration reloaded",
            metadata: ["changed": .number(applied), "need_restart": .number(changes.count - applied)])
    }
}
