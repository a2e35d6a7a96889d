import STUN

/// One relay address with its ports, as one worker sees it.
struct RelayPorts {
    var address: RelayAddress
    /// What it was called outside before: living allocations are known by that.
    var formerExternals: [IPAddress] = []
    /// Whether new allocations are made on it.
    var isOffered = true
    var ports: PortPool

    init(address: RelayAddress, range: ClosedRange<UInt16>, worker: Int, of workers: Int) {
        self.address = address
        ports = PortPool(ports: range, worker: worker, of: workers)
    }
}

extension RelayCore {
    /// New allocations are made on these from now on, and on no others. Those on others live on.
    ///
    /// An address that is not offered any more is kept, for its allocations and for when it comes back: 16 KB each, and a
    /// host has few.
    mutating func offer(_ addresses: [RelayAddress]) {
        relayedPorts = ledger.relayedPorts(on: addresses)
        for index in relays.indices {
            let offered = addresses.first { $0.address == relays[index].address.address }
            relays[index].isOffered = offered != nil
            if let offered { relays[index].rename(offered) }
        }
        for address in addresses where relayIndex(of: address.address) == nil {
            relays.append(
                RelayPorts(address: address, range: configuration.relayPorts, worker: worker, of: workerCount))
        }
    }

    /// Whether new allocations of a family can be made.
    func hasRelay(_ family: AddressFamily) -> Bool {
        relays.contains { $0.isOffered && $0.address.address.family == family }
    }

    /// Whether a relay address is ours still: allocations are made on it, or live on it, with whichever worker.
    func isOurs(_ relay: RelayPorts) -> Bool {
        relay.isOffered || relayedPorts.isInUse(relay.address.address)
    }

    /// Whether a transport address is a relayed one in use, of whichever worker.
    func isRelayed(_ address: TransportAddress) -> Bool { relayedPorts.contains(address) }

    mutating func markRelayed(_ address: TransportAddress, _ isInUse: Bool) {
        // A sibling that another worker reserved may be on an address that this core has not been told of.
        if !relayedPorts.knows(address.ip) {
            relayedPorts = ledger.relayedPorts(on: [RelayAddress(address: address.ip)])
        }
        relayedPorts.mark(address, isInUse)
    }
}

extension RelayPorts {
    fileprivate mutating func rename(_ new: RelayAddress) {
        if let former = address.external, former != new.external, !formerExternals.contains(former) {
            formerExternals.append(former)
        }
        formerExternals.removeAll { $0 == new.external }
        address = new
    }
}
