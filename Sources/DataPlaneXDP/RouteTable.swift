// Unsafe code: hands the program's shared memory on to the tables that write it.

import CRelayABI
import RelayCore
import STUN

/// The routes in the kernel, of all workers. To be used under a lock.
struct RouteTable: Sendable {
    /// What holds for every route.
    struct Policy: Sendable {
        /// Addresses of relayed transport addresses, as they stand in packets on this host.
        let relayAddresses: [IPAddress]
        /// Whether next hops are looked up here; otherwise the program exchanges MAC addresses.
        let findsNextHops: Bool
        let hashSeed: UInt64
    }

    /// One direction of a route in its slot.
    struct Placed: Sendable {
        let slot: SlotIndex
        let way: Way?
        /// The traffic that was reported already, packed as in the entry.
        var reported: UInt64 = 0
    }

    private struct WayState: Sendable {
        var found: FoundWay
        var hop: UInt16
        var slots: Set<SlotIndex> = []
    }

    private var slots: SlotTable
    private var hops: NextHopTable
    private var ways: [Way: WayState] = [:]
    private let policy: Policy
    private let finder: WayFinder
    var clock: LeaseClock
    /// Routes that found no room, so far.
    private(set) var refusedCount: UInt64 = 0

    init(_ program: XDPProgram, policy: Policy, finder: WayFinder, clock: LeaseClock) {
        slots = unsafe SlotTable(program.entries, count: program.sizes.slots, seed: policy.hashSeed)
        hops = unsafe NextHopTable(program.nextHops)
        self.policy = policy
        self.finder = finder
        self.clock = clock
        capacity = program.sizes.routes * 2
    }

    private let capacity: Int

    /// Routes that are in the kernel now.
    var routeCount: Int { slots.liveCount / 2 }

    /// Both directions of a route; nothing where there is no room, and then it stays on the slow path.
    mutating func install(_ route: Route) -> (toPeer: Placed, toClient: Placed)? {
        guard slots.liveCount + 2 <= capacity else {
            refusedCount += 1
            return nil
        }
        let isHairpin = policy.relayAddresses.contains(route.peer.ip)
        let lease = clock.lease(until: route.until)
        guard let toPeer = place(.toPeer(route), lease, flags: isHairpin ? RELAY_HAIRPIN : nil) else {
            refusedCount += 1
            return nil
        }
        guard let toClient = place(.toClient(route), lease, flags: isHairpin ? RELAY_INSIDE : nil) else {
            remove(toPeer)
            refusedCount += 1
            return nil
        }
        return (toPeer, toClient)
    }

    private mutating func place(_ direction: Direction, _ lease: UInt32, flags: relay_entry_flag?) -> Placed? {
        let isHandedOver = flags == RELAY_HAIRPIN
        let way =
            policy.findsNextHops && !isHandedOver
            ? Way(source: direction.leaving.source.ip, destination: direction.leaving.destination.ip) : nil
        let hop = way.map { hopIndex(of: $0) } ?? UInt16(RELAY_NO_NEXT_HOP)
        let entry = direction.entry(
            lease: lease, nextHop: hop, flags: UInt8(flags?.rawValue ?? 0), seed: policy.hashSeed)
        guard let slot = slots.insert(entry) else {
            if let way { forgetIfUnused(way) }
            return nil
        }
        if let way { ways[way]?.slots.insert(slot) }
        return Placed(slot: slot, way: way)
    }

    mutating func renew(_ placed: Placed, until: Instant) { slots.setLease(placed.slot, clock.lease(until: until)) }

    mutating func remove(_ placed: Placed) {
        slots.remove(placed.slot)
        guard let way = placed.way else { return }
        ways[way]?.slots.remove(placed.slot)
        forgetIfUnused(way)
    }

    /// Packets and bytes since the last call.
    func traffic(of placed: inout Placed) -> (packets: UInt64, bytes: UInt64) {
        let now = slots.traffic(placed.slot)
        let difference = now &- placed.reported
        placed.reported = now
        let shift = UInt64(RELAY_TRAFFIC_PACKET_SHIFT)
        return (difference >> shift, difference & (1 << shift - 1))
    }

    // MARK: Next hops

    private mutating func hopIndex(of way: Way) -> UInt16 {
        if let known = ways[way] { return known.hop }
        let found = finder.find(way)
        let hop = found.nextHop.map { hops.take($0) } ?? UInt16(RELAY_NO_NEXT_HOP)
        ways[way] = WayState(found: found, hop: hop)
        return hop
    }

    private mutating func forgetIfUnused(_ way: Way) {
        guard let state = ways[way], state.slots.isEmpty else { return }
        hops.giveBack(state.hop)
        ways[way] = nil
    }

    /// The ways in use that a change may concern: all of them, or those by way of one neighbour.
    func waysConcerned(by neighbours: Set<IPAddress>?) -> [Way] {
        guard let neighbours else { return Array(ways.keys) }
        return ways.compactMap { way, state in
            state.found.neighbour.map { neighbours.contains($0) } ?? false ? way : nil
        }
    }

    /// Follows what was found out about a way: each entry changes by one store.
    mutating func update(_ way: Way, _ found: FoundWay) {
        guard let state = ways[way], state.found != found else { return }
        let hop = found.nextHop.map { hops.take($0) } ?? UInt16(RELAY_NO_NEXT_HOP)
        for slot in state.slots { slots.setNextHop(slot, hop) }
        hops.giveBack(state.hop)
        ways[way]?.found = found
        ways[way]?.hop = hop
    }

    /// The neighbours in use, with their interfaces.
    var neighbours: Set<Neighbour> {
        Set(
            ways.values.compactMap { state in
                state.found.neighbour.map { Neighbour(address: $0, interfaceIndex: state.found.interfaceIndex) }
            })
    }

    struct Neighbour: Hashable, Sendable {
        let address: IPAddress
        let interfaceIndex: UInt32
    }

    // MARK: Memory that readers may still look at

    struct Quarantine: Sendable {
        fileprivate let slots: [SlotIndex]
        fileprivate let hops: [UInt16]
        var isEmpty: Bool { slots.isEmpty && hops.isEmpty }
    }

    mutating func takeQuarantine() -> Quarantine {
        Quarantine(slots: slots.takeQuarantined(), hops: hops.takeQuarantined())
    }

    mutating func sweep(_ quarantine: Quarantine) {
        slots.sweep(quarantine.slots)
        hops.sweep(quarantine.hops)
    }
}
