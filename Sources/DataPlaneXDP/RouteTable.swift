// Unsafe code: hands the program's shared memory on to the tables that write it.

import CRelayABI
import RelayCore
import RelayWorker
import STUN

/// The routes in the kernel, of all workers. To be used under a lock.
struct RouteTable: Sendable {
    /// What holds for every route.
    struct Policy: Sendable {
        /// Addresses of relayed transport addresses, as they stand in packets on this host.
        var relayAddresses: [IPAddress]
        let hashSeed: UInt64
    }

    /// One direction of a route in its slot.
    struct Placed: Sendable {
        let slot: SlotIndex
        let way: Way
        /// What it is held to.
        fileprivate(set) var meter = HeldMeter.none
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
    private var meters: MeterTable
    private var ways: [Way: WayState] = [:]
    var policy: Policy
    var finder: WayFinder
    var clock: LeaseClock
    /// Routes that found no room, so far, and those that still wait for it.
    var refusedCount: UInt64 = 0
    var waitingCount = 0

    init(_ program: XDPProgram, policy: Policy, finder: WayFinder, clock: LeaseClock) {
        slots = unsafe SlotTable(program.entries, count: program.sizes.slots, seed: policy.hashSeed)
        hops = unsafe NextHopTable(program.nextHops)
        meters = unsafe MeterTable(program.meters, count: program.sizes.meters)
        self.policy = policy
        self.finder = finder
        self.clock = clock
        capacity = program.sizes.routes * 2
    }

    private let capacity: Int

    /// Routes that are in the kernel now.
    var routeCount: Int { slots.liveCount / 2 }

    /// Meters in the kernel now, each direction for itself.
    var meterCount: Int { meters.usedCount }

    var hasRoom: Bool { slots.liveCount + 2 <= capacity }

    /// Both directions of a route; nothing where there is no room, and then it stays on the slow path.
    mutating func install(_ route: Route) -> (toPeer: Placed, toClient: Placed)? {
        guard hasRoom else { return nil }
        let lease = clock.lease(until: route.until)
        let flags = flags(of: route)
        guard let toPeer = place(.toPeer(route), lease, (.toPeer, route.meters), flags: flags.toPeer)
        else { return nil }
        guard let toClient = place(.toClient(route), lease, (.toClient, route.meters), flags: flags.toClient) else {
            remove(toPeer)
            return nil
        }
        return (toPeer, toClient)
    }

    /// Of `relay_entry_flag`. A peer at one of our relayed addresses is a client of ours.
    private func flags(of route: Route) -> (toPeer: UInt8, toClient: UInt8) {
        guard policy.relayAddresses.contains(route.peer.ip) else { return (0, 0) }
        return (UInt8(RELAY_HAIRPIN.rawValue), UInt8(RELAY_INSIDE.rawValue))
    }

    private mutating func place(
        _ direction: Direction, _ lease: UInt32, _ held: (in: RelayDirection, to: RouteMeters), flags: UInt8
    ) -> Placed? {
        guard let meter = meters.hold(held.to, held.in) else { return nil }
        let way = Way(
            arrival: direction.arriving.destination.ip, source: direction.leaving.source.ip,
            destination: direction.leaving.destination.ip, isHandedOver: flags == RELAY_HAIRPIN.rawValue)
        let entry = direction.entry(
            lease: lease, nextHop: hopIndex(of: way), meter: meter.index, flags: flags, seed: policy.hashSeed)
        guard let slot = slots.insert(entry) else {
            forgetIfUnused(way)
            meters.release(meter)
            return nil
        }
        ways[way]?.slots.insert(slot)
        return Placed(slot: slot, way: way, meter: meter)
    }

    /// Whether both directions of a route are in the kernel as they were installed.
    func holds(_ route: Route, _ toPeer: Placed, _ toClient: Placed) -> Bool {
        holds(.toPeer(route), toPeer, flags(of: route).toPeer)
            && holds(.toClient(route), toClient, flags(of: route).toClient)
    }

    private func holds(_ direction: Direction, _ placed: Placed, _ flags: UInt8) -> Bool {
        let entry = direction.entry(lease: 0, nextHop: 0, flags: flags, seed: policy.hashSeed)
        return meters.isIntact(placed.meter)
            && slots.holds(entry, nextHop: ways[placed.way]?.hop ?? 0, meter: placed.meter.index, at: placed.slot)
    }

    /// Whether the program still sees a direction.
    func isLive(_ placed: Placed) -> Bool { slots.isLive(placed.slot) }

    mutating func renew(_ placed: Placed, until: Instant) { slots.setLease(placed.slot, clock.lease(until: until)) }

    /// Holds both directions of a route to other meters, or to other limits of the same.
    /// - Returns: false where there is no room for them; then the route must not stay.
    mutating func meter(_ toPeer: inout Placed, _ toClient: inout Placed, _ meters: RouteMeters) -> Bool {
        meter(&toPeer, .toPeer, meters) && meter(&toClient, .toClient, meters)
    }

    private mutating func meter(_ placed: inout Placed, _ direction: RelayDirection, _ wanted: RouteMeters) -> Bool {
        guard let meter = meters.hold(wanted, direction) else { return false }
        if meter != placed.meter { slots.setMeter(placed.slot, meter.index) }
        meters.release(placed.meter)
        placed.meter = meter
        return true
    }

    mutating func remove(_ placed: Placed) {
        slots.remove(placed.slot)
        meters.release(placed.meter)
        ways[placed.way]?.slots.remove(placed.slot)
        forgetIfUnused(placed.way)
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
        let hop = take(found)
        ways[way] = WayState(found: found, hop: hop)
        return hop
    }

    private mutating func take(_ found: FoundWay) -> UInt16 {
        guard !found.isBarred else { return UInt16(RELAY_BARRED_NEXT_HOP) }
        return found.nextHop.map { hops.take($0) } ?? UInt16(RELAY_NO_NEXT_HOP)
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
        let hop = take(found)
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
        fileprivate let meters: [MeterIndex]
        var isEmpty: Bool { slots.isEmpty && hops.isEmpty && meters.isEmpty }
    }

    mutating func takeQuarantine() -> Quarantine {
        Quarantine(
            slots: slots.takeQuarantined(), hops: hops.takeQuarantined(),
            meters: meters.takeQuarantined(at: SystemClock.now().monotonic.nanoseconds))
    }

    /// Leaves no entry behind. To be called when no program looks any more.
    mutating func clear() { slots.clear() }

    mutating func sweep(_ quarantine: Quarantine) {
        slots.sweep(quarantine.slots)
        hops.sweep(quarantine.hops)
        meters.sweep(quarantine.meters)
    }
}
