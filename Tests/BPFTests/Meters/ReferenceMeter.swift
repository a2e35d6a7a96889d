import Glibc

@testable import DataPlaneXDP
@testable import RelayCore

/// The clock that meters count by, in nanoseconds.
func coarseNanoseconds() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC_COARSE, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}

/// A bucket as the limits' arithmetic has it, without a thought of speed: what the program's are compared with.
struct ReferenceBucket: Equatable {
    var until: Int64 = 0
    /// 48.16 fixed point.
    let interval: UInt64
    let burst: Int64

    init(secondOfOneUnit: UInt64, rate: UInt64, leastBurst: UInt64) {
        let (quotient, rest) = rate == 0 ? (0, 0) : (secondOfOneUnit * 65536).quotientAndRemainder(dividingBy: rate)
        interval = quotient + (rest > 0 ? 1 : 0)
        burst = rate == 0 ? 0 : max(250_000_000, Int64(leastBurst * interval / 65536))
    }

    /// When the burst is used up after so many bytes or datagrams more; nothing if it cannot hold them.
    func after(_ amount: Int, at now: Int64) -> ReferenceBucket? {
        guard interval > 0 else { return self }
        var next = self
        next.until = max(until, now) + Int64(UInt64(amount) * interval / 65536)
        return next.until - now <= burst ? next : nil
    }
}

/// One direction of a meter.
struct ReferenceMeter: Equatable {
    var bytes: ReferenceBucket
    var packets: ReferenceBucket

    init(_ limit: RateLimit) {
        bytes = ReferenceBucket(secondOfOneUnit: 8_000_000_000, rate: limit.bitsPerSecond, leastBurst: 65_536)
        packets = ReferenceBucket(secondOfOneUnit: 1_000_000_000, rate: limit.packetsPerSecond, leastBurst: 64)
    }
}

/// All meters of a relay by name and direction.
struct ReferenceMeters {
    var meters: [MeterTable.Key: ReferenceMeter] = [:]

    mutating func add(_ route: RouteMeters) {
        for meter in [route.allocation, route.user].compactMap({ $0 }) {
            for direction in [RelayDirection.toPeer, .toClient] {
                meters[MeterTable.Key(id: meter.id, direction: direction)] = ReferenceMeter(meter.limit)
            }
        }
    }

    /// A datagram of so many bytes of payload, counted in all of these or in none.
    mutating func take(_ keys: [MeterTable.Key], _ byteCount: Int, at now: Int64) -> Bool {
        var changed = meters
        for key in keys {
            guard let bytes = changed[key]?.bytes.after(byteCount, at: now),
                let packets = changed[key]?.packets.after(1, at: now)
            else { return false }
            changed[key]?.bytes = bytes
            changed[key]?.packets = packets
        }
        meters = changed
        return true
    }
}
