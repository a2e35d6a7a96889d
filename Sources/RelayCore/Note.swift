public import STUN

/// What an operator may want to read: one line each, never one per packet, never a secret.
public enum Note: Sendable, Hashable {
    case allocationCreated(AllocationSummary, lifetimeSeconds: UInt32)
    case allocationEnded(AllocationSummary, AllocationEnd, SessionTraffic, ageSeconds: UInt32)
    case peerDenied(client: TransportAddress, username: String, peer: TransportAddress, rule: String)
    case quotaReached(client: TransportAddress, username: String, quota: Quota)
    /// No port of the range is free for this worker.
    case portsExhausted(family: AddressFamily)
    /// A relay socket could not be bound.
    case relayRefused(TransportAddress, reason: String)
    /// A worker cannot keep up, and drops what comes from clients without an allocation.
    case sheddingBegan
    /// It has kept up for a while again.
    case sheddingEnded(droppedDatagrams: UInt64, milliseconds: UInt64)
}

/// Who an allocation belongs to and what it holds.
public struct AllocationSummary: Sendable, Hashable {
    public let client: TransportAddress
    /// The local address that the client talks to.
    public let server: TransportAddress
    public let username: String
    /// The relayed transport addresses as the client knows them, IPv4 first.
    public let relayed: [TransportAddress]
}

/// Why an allocation ended.
public enum AllocationEnd: String, Sendable, Hashable {
    /// Its lifetime ran out.
    case expired
    /// The client refreshed it with a lifetime of zero.
    case released
    /// The relay stopped.
    case stopped
    /// An operator ended it.
    case kicked
}

/// What an allocation carried, payload bytes only.
public struct AllocationTraffic: Sendable, Hashable, BitwiseCopyable {
    public var packetsToPeers: UInt64 = 0
    public var bytesToPeers: UInt64 = 0
    public var packetsToClient: UInt64 = 0
    public var bytesToClient: UInt64 = 0

    public init() {}

    /// What came on top of an earlier total.
    public func since(_ earlier: AllocationTraffic) -> AllocationTraffic {
        var difference = AllocationTraffic()
        difference.packetsToPeers = packetsToPeers &- earlier.packetsToPeers
        difference.bytesToPeers = bytesToPeers &- earlier.bytesToPeers
        difference.packetsToClient = packetsToClient &- earlier.packetsToClient
        difference.bytesToClient = bytesToClient &- earlier.bytesToClient
        return difference
    }

    public mutating func add(_ other: AllocationTraffic) {
        packetsToPeers &+= other.packetsToPeers
        bytesToPeers &+= other.bytesToPeers
        packetsToClient &+= other.packetsToClient
        bytesToClient &+= other.bytesToClient
    }
}

/// The quota that a 486 or 508 was given for.
public enum Quota: String, Sendable, Hashable, CaseIterable {
    case allocationsPerUser = "allocations-per-user"
    case allocationsTotal = "allocations-total"
    case permissionsPerAllocation = "permissions-per-allocation"
    case channelsPerAllocation = "channels-per-allocation"
    case newPeerRate = "new-peer-rate"

    var index: Int {
        switch self {
        case .allocationsPerUser: 0
        case .allocationsTotal: 1
        case .permissionsPerAllocation: 2
        case .channelsPerAllocation: 3
        case .newPeerRate: 4
        }
    }
}
