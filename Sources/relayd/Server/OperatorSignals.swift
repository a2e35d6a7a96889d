import Glibc
import ServiceLifecycle
import UnixSignals

/// What a person tells the process by a signal. SIGTERM and SIGINT: the first one asks for a graceful stop, a second one
/// ends the process at once. SIGHUP reloads, SIGUSR1 drains.
///
/// They are trapped before the relay answers anybody, and kept until the services run: whoever saw an answer can stop
/// the program.
struct OperatorSignals: Service {
    /// Each SIGHUP.
    let reloads: AsyncStream<Void>
    /// The first SIGUSR1.
    let drains: AsyncStream<Void>
    private let reloadRequester: AsyncStream<Void>.Continuation
    private let stops: AsyncStream<Void>

    init() async {
        let signals = await UnixSignalsSequence(trapping: .sigterm, .sigint, .sighup, .sigusr1)
        let stop = AsyncStream.makeStream(of: Void.self)
        // A reload reads what is there when it begins, so one that waits is as good as many.
        let reload = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let drain = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        (stops, reloads, drains) = (stop.stream, reload.stream, drain.stream)
        reloadRequester = reload.continuation
        // Detached, so that it goes on watching while the group waits for its services.
        Task.detached {
            var count = 0
            for await signal in signals {
                switch signal {
                case .sighup: reload.continuation.yield()
                case .sigusr1: drain.continuation.yield()
                default:
                    count += 1
                    if count == 2 { _exit(128 + signal.rawValue) }
                    stop.continuation.yield()
                    stop.continuation.finish()
                }
            }
        }
    }

    /// As SIGHUP does.
    func requestReload() { reloadRequester.yield() }

    /// Ends, and with it the group, when a stop is asked for.
    func run() async throws {
        for await _ in stops.cancelOnGracefulShutdown() {}
    }
}
