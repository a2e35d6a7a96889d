/// The buckets of one allocation, and whose user it is counted for: one cache line.
struct AllocationMeter: BitwiseCopyable, Sendable {
    /// When the buckets of one direction are full again, in nanoseconds of the monotonic clock.
    struct Times: BitwiseCopyable, Sendable {
        var bytes: UInt64 = 0
        var packets: UInt64 = 0
    }

    let id: MeterID
    let user: UserBuckets
    private var toPeers = Times()
    private var toClient = Times()
    /// Datagrams that were dropped for going too fast, in either direction, and when the last one was.
    private(set) var droppedCount: UInt64 = 0
    private var droppedAt: UInt64 = 0

    init(id: MeterID, user: UserBuckets) {
        self.id = id
        self.user = user
    }

    /// Counts one datagram in all of its buckets, or in none if one of them has no room.
    @inline(__always)
    mutating func take(
        _ direction: RelayDirection, _ byteCount: UInt64, _ own: Paces, _ users: Paces, at now: UInt64
    ) -> Bool {
        let times = self[direction]
        guard let bytes = own.bytes.next(times.bytes, byteCount, at: now),
            let packets = own.packets.next(times.packets, 1, at: now),
            users.isNone || user.take(direction, byteCount, users, at: now)
        else {
            droppedCount &+= 1
            droppedAt = now
            return false
        }
        self[direction] = Times(bytes: bytes, packets: packets)
        return true
    }

    /// Counts what a plane carried by itself.
    mutating func charge(
        _ traffic: AllocationTraffic, _ own: Paces, _ users: Paces, since: UInt64, at now: UInt64
    ) {
        for direction in [RelayDirection.toPeer, .toClient] {
            let (bytes, packets) = traffic.amount(direction)
            let times = self[direction]
            self[direction] = Times(
                bytes: own.bytes.charged(times.bytes, bytes, since: since, at: now),
                packets: own.packets.charged(times.packets, packets, since: since, at: now))
        }
        user.charge(traffic, users, since: since, at: now)
    }

    /// Nothing is used up any more.
    mutating func forget() {
        toPeers = Times()
        toClient = Times()
    }

    /// Whether a datagram was dropped within the last two seconds.
    func isLimited(at now: Instant) -> Bool {
        droppedCount > 0 && now.nanoseconds < droppedAt + 2_000_000_000
    }

    private subscript(direction: RelayDirection) -> Times {
        @inline(__always) get { direction == .toPeer ? toPeers : toClient }
        @inline(__always) set {
            switch direction {
            case .toPeer: toPeers = newValue
            case .toClient: toClient = newValue
            }
        }
    }
}
