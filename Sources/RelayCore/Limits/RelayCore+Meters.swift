extension RelayCore {
    /// Lets a datagram leave as `hop` says, and counts it; to be called once for each.
    /// - Returns: false if it is faster than its allocation or its user may be: then it is counted as dropped.
    public mutating func admit(_ hop: Hop, at now: Instant) -> Bool {
        if isMetered {
            let direction =
                switch hop.framing {
                case .unwrap: RelayDirection.toPeer
                case .wrap: RelayDirection.toClient
                }
            guard passes(direction, Int(hop.payloadByteCount), of: meters.owner(of: hop.route), at: now) else {
                return false
            }
        }
        countForwarded(hop)
        return true
    }

    /// Counts a payload in the meters of its allocation and user, if there is room in all of them.
    @inline(__always)
    mutating func passes(
        _ direction: RelayDirection, _ byteCount: Int, of allocation: UInt32, at now: Instant
    ) -> Bool {
        guard isMetered else { return true }
        let isWithin = meters[allocation].take(
            direction, UInt64(byteCount), allocationPaces, userPaces, at: now.nanoseconds)
        if !isWithin { counters.count(.overLimit) }
        return isWithin
    }

    /// Counts what a plane carried by itself between `since` and now, so that less is left for what the core sees.
    mutating func charge(_ traffic: AllocationTraffic, to allocation: UInt32, since: Instant, at now: Instant) {
        guard isMetered else { return }
        meters[allocation].charge(
            traffic, allocationPaces, userPaces, since: since.nanoseconds, at: now.nanoseconds)
    }

    /// Gives a new allocation its meter.
    mutating func beginMeter(_ allocation: UInt32, _ user: UserBuckets) {
        meterCount += 1
        // A user's numbers have the highest bit; see ``RelayLedger``.
        let id = MeterID(rawValue: UInt64(worker) << 48 | meterCount)
        meters.begin(allocation, AllocationMeter(id: id, user: user))
    }

    /// What a route of an allocation is held to.
    func routeMeters(of allocation: UInt32) -> RouteMeters {
        let meter = meters[allocation]
        let (own, users) = (configuration.allocationRate, configuration.userRate)
        return RouteMeters(
            allocation: own.isNone ? nil : RouteMeter(id: meter.id, limit: own),
            user: users.isNone ? nil : RouteMeter(id: meter.user.id, limit: users))
    }

    /// Takes over new limits, at once and for what lives. What was used up under another limit is forgotten: the debt of a
    /// slow one would silence a fast one.
    mutating func applyRates(replacing old: Configuration, into effects: inout Effects) {
        let isOwnNew = old.allocationRate != configuration.allocationRate
        let isUsersNew = old.userRate != configuration.userRate
        guard isOwnNew || isUsersNew else { return }
        if isOwnNew { allocations.forEach { handle, _ in meters[handle.index].forget() } }
        if isUsersNew { ledger.forgetUse() }
        allocationPaces = Paces(configuration.allocationRate)
        userPaces = Paces(configuration.userRate)
        isMetered = !allocationPaces.isNone || !userPaces.isNone
        var active: [(UInt32, UInt32)] = []
        channels.forEach { handle, channel in
            if channel.isActive { active.append((handle.index, channel.allocation)) }
        }
        for (channel, allocation) in active {
            effects.append(.route(.meter(RouteID(index: channel), routeMeters(of: allocation))))
        }
    }
}
