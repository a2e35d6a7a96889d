import STUN

/// The requests and indications that the counters tell apart.
public enum CountedMethod: Int, Sendable, CaseIterable {
    case binding, allocate, refresh, createPermission, channelBind, send, other

    init(_ method: STUN.Method) {
        self =
            switch method {
            case .binding: .binding
            case .allocate: .allocate
            case .refresh: .refresh
            case .createPermission: .createPermission
            case .channelBind: .channelBind
            case .send: .send
            default: .other
            }
    }
}

/// How a request ended: success, an error code, or silence because its source had used up its unauthenticated answers.
public enum Outcome: Int, Sendable, CaseIterable {
    case success
    case tryAlternate, badRequest, unauthenticated, forbidden, unknownAttribute
    case allocationMismatch, staleNonce, addressFamilyNotSupported, wrongCredentials
    case unsupportedTransportProtocol, peerAddressFamilyMismatch, allocationQuotaReached
    case serverError, insufficientCapacity
    case rateLimited
}

/// Why a datagram was dropped without an answer.
public enum DropReason: Int, Sendable, CaseIterable {
    /// Neither STUN nor channel data, or STUN that does not parse.
    case malformed
    /// Channel data or an indication from a client without an allocation.
    case noAllocation
    /// Channel data on a number that is not bound.
    case unboundChannel
    /// A peer that the client gave no permission, in either direction.
    case noPermission
    /// A Send indication to a peer that the policy denies.
    case deniedPeer
    /// An indication without its attributes, or with an address of the wrong family.
    case badIndication
    /// A response or an indication that a server has no use for.
    case unexpected
    /// Source port 0 or an unusable source address: nothing could be answered.
    case unanswerable
    /// A request whose twin is still being answered.
    case inProgress
    /// A payload that was faster than its allocation or its user may be.
    case overLimit
    /// From somebody without an allocation, while the worker was behind.
    case shed
}

/// What one core counted since it was made: totals and gauges, plain integers, written by one thread.
public struct Counters: Sendable, BitwiseCopyable {
    static let cells = CountedMethod.allCases.count * Outcome.allCases.count

    // 7 methods x 16 outcomes; the initialiser checks that the shape still fits.
    private var requests: InlineArray<112, UInt64> = .init(repeating: 0)
    private var drops: InlineArray<11, UInt64> = .init(repeating: 0)
    private var quotas: InlineArray<5, UInt64> = .init(repeating: 0)
    /// Payloads relayed by channel data.
    public var channelTraffic = AllocationTraffic()
    /// Payloads relayed by Send and Data indications.
    public var indicationTraffic = AllocationTraffic()
    /// ICMP errors that were handed to clients.
    public var icmpIndications: UInt64 = 0
    /// Living now.
    public var allocations: UInt64 = 0
    /// Living now.
    public var permissions: UInt64 = 0
    /// Channel bindings that forward now.
    public var channels: UInt64 = 0
    /// 1 while whoever has no allocation is not answered.
    public var isShedding: UInt64 = 0

    public init() {
        precondition(
            Self.cells == 112 && DropReason.allCases.count == 11 && Quota.allCases.count == 5,
            "the tables' shapes are out of date")
    }

    /// How many requests of this kind ended so.
    public subscript(method: CountedMethod, outcome: Outcome) -> UInt64 {
        requests[method.rawValue &* 16 &+ outcome.rawValue]
    }

    /// How many datagrams were dropped for this reason.
    public subscript(reason: DropReason) -> UInt64 { drops[reason.rawValue] }

    mutating func count(_ method: CountedMethod, _ outcome: Outcome) {
        requests[method.rawValue &* 16 &+ outcome.rawValue] &+= 1
    }

    /// How many requests were refused for this quota.
    public subscript(quota: Quota) -> UInt64 { quotas[quota.index] }

    mutating func count(_ quota: Quota) { quotas[quota.index] &+= 1 }

    mutating func count(_ reason: DropReason) { drops[reason.rawValue] &+= 1 }
}
