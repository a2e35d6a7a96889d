import Glibc
import ServiceLifecycle
import UnixSignals

/// What a person tells the process by a signal. SIGTERM and SIGINT: the first one asks for a graceful stop, a second one
/// ends the process at once. SIGHUP reloads, SIGUSR1 drains.
///
/// They are trapped before the relay answers anybody, and kept until the services run: whoever saw an answer can stop
/// the program.
struct OperatorSignals: Service {
    /// Each SIGHUP is one.
    let orders = ReloadOrders()
    /// The first SIGUSR1.
    let drains: AsyncStream<Void>
    private let stops: AsyncStream<Void>

    init() async {
        let signals = await UnixSignalsSequence(trapping: .sigterm, .sigint, .sighup, .sigusr1)
        let stop = AsyncStream.makeStream(of: Void.self)
        let drain = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        (stops, drains) = (stop.stream, drain.stream)
        let orders = orders
        // Detached, so that it goes on watching while the group waits for its services.
        Task.detached {
            var count = 0
            for await signal in signals {
                switch signal {
                case .sighup: orders.post(.reload)
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
    func requestReload() { orders.post(.reload) }

    /// Ends, and with it the group, when a stop is asked for.
    func run() async throws {
        for await _ in stops.cancelOnGracefulShutdown() {}
    }
}
