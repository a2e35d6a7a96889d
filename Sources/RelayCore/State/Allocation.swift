import STUN

/// One allocation: who it belongs to, its relayed transport addresses, and the answer that made it.
struct Allocation {
    /// One relayed transport address of an allocation.
    struct Relay {
        let slot: SocketSlot
        /// The local address that the socket is bound to.
        let address: TransportAddress
        /// The address that clients and peers know.
        let advertised: TransportAddress
        /// The port is taken in this core's pool and goes back there.
        let holdsPort: Bool
        var expires: Instant
        /// The indices of its living permissions.
        var permissions: [UInt32] = []
        /// The indices of its channels, those in cool-down included.
        var channels: [UInt32] = []
    }

    let client: TransportAddress
    let listener: SocketSlot
    let server: TransportAddress
    var identity: Authenticator.Identity
    let created: Instant
    /// What is still missing before the Allocate can be answered; nothing for a living allocation.
    var opening: Opening?
    var ipv4: Relay?
    var ipv6: Relay?
    /// The transaction that made it and its answer, for retransmissions.
    let transaction: TransactionID
    var answer: [UInt8] = []
    /// What its indications and its ended channels carried.
    var traffic = AllocationTraffic()
    /// When it may name as many new peers as the limit has; see ``PeerRate``.
    var peersFullAt = Instant(nanoseconds: 0)
    /// When its earliest timer fires; later ones of its own are ignored.
    var armed: Instant

    subscript(family: AddressFamily) -> Relay? {
        get { family == .ipv4 ? ipv4 : ipv6 }
        _modify {
            switch family {
            case .ipv4: yield &ipv4
            case .ipv6: yield &ipv6
            }
        }
    }

    /// When its last relayed address lapses.
    var expires: Instant {
        max(ipv4?.expires ?? Instant(nanoseconds: 0), ipv6?.expires ?? Instant(nanoseconds: 0))
    }

    func age(at now: Instant) -> UInt32 {
        UInt32(clamping: (now.nanoseconds - created.nanoseconds) / 1_000_000_000)
    }

    var channelCount: Int { (ipv4?.channels.count ?? 0) + (ipv6?.channels.count ?? 0) }

    var permissionCount: Int { (ipv4?.permissions.count ?? 0) + (ipv6?.permissions.count ?? 0) }

    var summary: AllocationSummary {
        AllocationSummary(
            client: client, server: server, username: identity.displayName,
            relayed: [ipv4, ipv6].compactMap { $0?.advertised })
    }
}

/// An Allocate between its request and its answer: the sockets that it still waits for.
struct Opening {
    let signature: Signature
    let lifetimeSeconds: UInt32
    /// EVEN-PORT asked for the sibling; its token once it is bound.
    let reservesSibling: Bool
    var reservation: UInt64?
    /// ADDITIONAL-ADDRESS-FAMILY asked for this one as well.
    var additional: AddressFamily?
    /// The family of a dual allocation that was not had, and why.
    var missing: (family: AddressFamily, error: ErrorCode)?
    let portShape: PortPool.Shape
    /// Ports tried so far; see ``RFC8656/openAttempts``.
    var attempts = 0
}
