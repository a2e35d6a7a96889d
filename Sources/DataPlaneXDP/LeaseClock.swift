import CBPF
import CRelayABI
import RelayCore
import RelayWorker

/// Translates moments of the monotonic clock to the clock that the program reads, `jiffies64`.
struct LeaseClock: Equatable, Sendable {
    private let ticks: UInt64
    private let instant: Instant
    private let tickNanoseconds: UInt64

    init(ticks: UInt64, at instant: Instant, tickNanoseconds: UInt64) {
        precondition(tickNanoseconds > 0, "the kernel's clock ticks")
        self.ticks = ticks
        self.instant = instant
        self.tickNanoseconds = tickNanoseconds
    }

    /// Reads both clocks.
    static func read(_ program: XDPProgram) throws(PlaneError) -> LeaseClock {
        let ticks = try program.ticks()
        return LeaseClock(
            ticks: ticks, at: SystemClock.now().monotonic, tickNanoseconds: cbpf_tick_nanoseconds())
    }

    /// The last whole unit of leases before `until`: early by a unit at most, and then the slow path forwards.
    func lease(until: Instant) -> UInt32 {
        guard until > instant else { return 0 }
        let ahead = (until.nanoseconds - instant.nanoseconds) / tickNanoseconds
        return UInt32(clamping: (ticks + ahead) >> UInt64(RELAY_LEASE_SHIFT))
    }
}
