import Glibc
import ServiceLifecycle
import UnixSignals

/// SIGTERM and SIGINT: the first one asks for a graceful stop, a second one ends the process at once.
///
/// They are trapped before the relay answers anybody, and kept until the services run: whoever saw an answer can stop
/// the program.
struct StopSignals: Service {
    private let first: AsyncStream<Void>

    init() async {
        let signals = await UnixSignalsSequence(trapping: .sigterm, .sigint)
        let (first, reporter) = AsyncStream.makeStream(of: Void.self)
        self.first = first
        // Detached, so that it goes on watching while the group waits for its services.
        Task.detached {
            var count = 0
            for await signal in signals {
                count += 1
                if count == 2 { _exit(128 + signal.rawValue) }
                reporter.yield()
                reporter.finish()
            }
        }
    }

    /// Ends, and with it the group, at the first signal.
    func run() async throws {
        for await _ in first.cancelOnGracefulShutdown() {}
    }
}
