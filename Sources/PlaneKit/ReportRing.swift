internal import CLinux
public import RelayCore
public import RelayWorker
public import STUN

/// ICMP reports that wait for the worker. When it is full, later ones are lost: reports are best effort, and a flood of
/// them must not become memory or time.
public struct ReportRing: ~Copyable {
    private static let capacity = 64
    /// Entries read from one socket's error queue in one go.
    private static let drainLimit = 8

    private var reports = FixedBuffer<ICMPReport?>(repeating: nil, count: ReportRing.capacity)
    private var first = 0
    private var count = 0

    /// A ring without reports.
    public init() {}

    public var isEmpty: Bool { count == 0 }

    /// The oldest report, which is taken out.
    public mutating func next() -> ICMPReport? {
        guard count > 0 else { return nil }
        let report = reports[first]
        first = (first + 1) % Self.capacity
        count -= 1
        return report
    }

    /// Reads a socket's error queue, a bounded number of entries, and clears its pending error.
    /// - Parameter tooBig: where a datagram was going that this host itself found larger than the MTU just now; such
    ///   entries do not tell the port.
    public mutating func drain(
        _ descriptor: Int32, of slot: SocketSlot, isRelay: Bool, tooBig: TransportAddress? = nil
    ) {
        for _ in 0..<Self.drainLimit {
            let entry = clinux_take_error(descriptor)
            guard entry.status == 0 else {
                // The queue is empty, but an error may stand that found no room in it: that would wake us for ever.
                _ = clinux_take_pending_error(descriptor)
                return
            }
            if isRelay, let report = Self.report(of: entry, slot, tooBig) { append(report) }
        }
    }

    /// Drops the reports of a socket that goes.
    public mutating func forget(_ slot: SocketSlot) {
        let waiting = count
        for _ in 0..<waiting {
            guard let report = next() else { return }
            if report.slot != slot { append(report) }
        }
    }

    private mutating func append(_ report: ICMPReport) {
        guard count < Self.capacity else { return }
        reports[(first + count) % Self.capacity] = report
        count += 1
    }

    private static func report(
        of entry: clinux_error_entry, _ slot: SocketSlot, _ tooBig: TransportAddress?
    ) -> ICMPReport? {
        guard let destination = TransportAddress(entry.destination) else { return nil }
        switch entry.origin {
        case CLINUX_ERROR_ICMP:
            let mtu = entry.error_number == EMSGSIZE ? entry.info : 0
            return ICMPReport(
                slot: slot, peer: destination, error: ICMPAttribute(type: entry.type, code: entry.code, data: mtu))
        case CLINUX_ERROR_LOCAL where entry.error_number == EMSGSIZE:
            guard let tooBig, tooBig.ip == destination.ip else { return nil }
            // As a router on the path would have put it: "fragmentation needed" or "packet too big".
            let error =
                tooBig.family == .ipv4
                ? ICMPAttribute(type: 3, code: 4, data: entry.info) : ICMPAttribute(type: 2, code: 0, data: entry.info)
            return ICMPReport(slot: slot, peer: tooBig, error: error)
        default: return nil
        }
    }
}
