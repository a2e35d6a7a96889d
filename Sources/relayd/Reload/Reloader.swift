import Logging
import RelayCore
import RelayWorker
import ServiceLifecycle

/// Reads the options again when asked to, and applies what a reload can: to all workers, or not at all.
struct Reloader: Service {
    let options: CommandLineOptions
    let started: LoadedSettings
    let demo: Demo?
    let server: RelayServer
    let threshold: LogThreshold
    let manager: ServiceManager
    let logger: Logger
    /// One element for each reload that is wanted.
    let requests: AsyncStream<Void>
    /// Asks for a reload when a file changes; nothing where that is not wanted.
    let watch: ConfigWatch?
    let events: RelayEvents

    func run() async throws {
        var latest = started
        for await _ in requests.cancelOnGracefulShutdown() {
            manager.reloading()
            latest = reload(latest)
            watch?.follow(latest.paths)
            manager.ready()
        }
    }

    /// - Returns: what holds now: the new options, or the ones before if there is anything wrong with them.
    private func reload(_ latest: LoadedSettings) -> LoadedSettings {
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
        events.noteReload(.success)
        apply(demo?.apply(to: merged) ?? merged)
        // Said if either the old level or the new one lets it through.
        threshold.level = min(threshold.level, merged.logLevel)
        report(changes)
        threshold.level = merged.logLevel
        return new
    }

    private func apply(_ settings: Settings) {
        var configuration = server.configuration
        settings.applyPolicy(to: &configuration)
        for link in server.links { link.reconfigure(configuration) }
        server.drain.reconfigure(settings)
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
