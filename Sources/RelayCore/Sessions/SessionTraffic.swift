/// What a session carried, told apart by the planes that did it.
public struct SessionTraffic: Sendable, Hashable {
    public struct Share: Sendable, Hashable {
        /// The plane's name.
        public let plane: String
        public internal(set) var traffic: AllocationTraffic
    }

    /// In the order in which the planes began to carry.
    public private(set) var shares: [Share] = []

    public init() {}

    /// All planes together.
    public var total: AllocationTraffic {
        shares.reduce(into: AllocationTraffic()) { $0.add($1.traffic) }
    }

    public mutating func add(_ traffic: AllocationTraffic, by plane: String) {
        guard traffic != AllocationTraffic() else { return }
        if let index = shares.firstIndex(where: { $0.plane == plane }) {
            shares[index].traffic.add(traffic)
        } else {
            shares.append(Share(plane: plane, traffic: traffic))
        }
    }
}

extension RelayCore {
    /// Says by which planes the sessions are carried from now on; what they carried so far is the planes' before.
    ///
    /// Looks at every allocation: for the start of a plane's life.
    /// - Parameters:
    ///   - slowPath: the userspace plane.
    ///   - offload: the plane that forwards by itself, whose share comes by ``credit(_:_:)``.
    public mutating func carry(by slowPath: String, offload: String?) {
        guard slowPath != carriers.slowPath || offload != carriers.offload else { return }
        var living: [UInt32] = []
        allocations.forEach { handle, _ in living.append(handle.index) }
        for index in living {
            let traffic = sessionTraffic(of: index)
            if !traffic.shares.isEmpty { carried[index] = traffic }
        }
        carriers = Carriers(slowPath: slowPath, offload: offload)
    }

    /// What an allocation carried: what nobody else is known to have carried is the userspace plane's.
    func sessionTraffic(of index: UInt32) -> SessionTraffic {
        var total = allocations[index].traffic
        for family in [allocations[index].ipv4, allocations[index].ipv6] {
            for channel in family?.channels ?? [] { total.add(traffic[RouteID(index: channel)]) }
        }
        return complete(carried[index], total)
    }

    /// What an allocation carried that is no more, and of which nothing is kept.
    mutating func takeTraffic(of index: UInt32, total: AllocationTraffic) -> SessionTraffic {
        complete(carried.isEmpty ? nil : carried.removeValue(forKey: index), total)
    }

    private func complete(_ known: SessionTraffic?, _ total: AllocationTraffic) -> SessionTraffic {
        var all = known ?? SessionTraffic()
        all.add(total.since(all.total), by: carriers.slowPath)
        return all
    }

    /// The plane that forwards by itself.
    public var offloader: String { carriers.offload ?? carriers.slowPath }
}

/// The planes that carry.
struct Carriers {
    var slowPath = "userspace"
    var offload: String?
}
