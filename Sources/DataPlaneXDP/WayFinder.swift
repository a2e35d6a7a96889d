// Unsafe code: the C functions write their answers through pointers to local variables.

import CLinux
import RelayWorker
import STUN

/// How datagrams of one direction travel: where they arrive, and between which addresses they leave.
struct Way: Hashable, Sendable {
    let arrival: IPAddress
    let source: IPAddress
    let destination: IPAddress
    /// Another entry takes them over, and has a next hop.
    let isHandedOver: Bool

    /// Few words, as hashing is much of what a route costs: of our own addresses there are few, and one word tells them
    /// apart; the destination is somebody else's choice and goes in whole.
    func hash(into hasher: inout Hasher) {
        hasher.combine(destination.high)
        hasher.combine(destination.low)
        hasher.combine(arrival.low &* 31 &+ source.low)
    }
}

/// What the kernel's tables say about a way.
struct FoundWay: Hashable, Sendable {
    /// The neighbour that frames are handed to, and its interface; nothing without a route.
    var neighbour: IPAddress?
    var interfaceIndex: UInt32 = 0
    /// Nothing until the neighbour's MAC address is known, or where the interface is not ours to send by.
    var nextHop: NextHop?
    /// An address of this host that the way needs is not this host's: nothing may travel it.
    var isBarred = false
}

/// What of this host decides where frames may leave.
struct Surroundings: Sendable, Equatable {
    /// The interfaces that the program is attached to, and that frames may leave by.
    let interfaces: [UInt32: NetworkInterface]
    /// The addresses of all interfaces that are up.
    let addresses: Set<IPAddress>

    /// As they are now; an interface that is gone is left out.
    static func read(attachedTo indices: [UInt32]) throws(PlaneError) -> Surroundings {
        var interfaces: [UInt32: NetworkInterface] = [:]
        for index in indices { interfaces[index] = try NetworkInterface.read(index) }
        return Surroundings(
            interfaces: interfaces, addresses: Set(try NetworkInterface.addresses().map(\.address)))
    }
}

/// Asks the kernel where packets leave, over netlink, once for all destinations that leave alike and once a neighbour.
/// Whoever hears of changes tells it.
struct WayFinder: Sendable {
    private struct RouteKey: Hashable, Sendable {
        let source: IPAddress
        let destinations: DestinationClasses.Prefix

        /// Neither is anybody else's choice.
        func hash(into hasher: inout Hasher) {
            hasher.combine(destinations.address.high &* 31 &+ destinations.address.low)
            hasher.combine(source.low &* 31 &+ UInt64(destinations.length))
        }
    }

    private struct FoundRoute: Sendable {
        /// Nothing where each destination is its own neighbour.
        let gateway: IPAddress?
        let interfaceIndex: UInt32
        /// The route's own, or 0.
        let mtu: UInt32
    }

    private let netlink: Int32
    /// Whether next hops are looked up; otherwise the program exchanges MAC addresses.
    private let looksUp: Bool
    var surroundings: Surroundings
    /// Nothing where each destination has to be asked for.
    private(set) var classes: DestinationClasses?
    private var routes: [RouteKey: FoundRoute] = [:]
    private var neighbours = KnownNeighbours()

    init(_ surroundings: Surroundings, looksUp: Bool) throws(PlaneError) {
        try self.init(surroundings, looksUp: looksUp, looksUp ? DestinationClasses.read() : nil)
    }

    private init(
        _ surroundings: Surroundings, looksUp: Bool, _ classes: DestinationClasses?
    ) throws(PlaneError) {
        netlink = clinux_netlink_open()
        guard netlink >= 0 else {
            throw PlaneError(
                what: "opening a netlink socket", why: String(systemErrorNumber: -netlink),
                mend: "Let this process use AF_NETLINK (systemd: RestrictAddressFamilies).")
        }
        self.looksUp = looksUp
        self.surroundings = surroundings
        self.classes = classes
    }

    /// Another one that asks the same.
    init(copying other: WayFinder) throws(PlaneError) {
        try self.init(other.surroundings, looksUp: other.looksUp, other.classes)
    }

    func close() { _ = clinux_close(netlink) }

    // MARK: What has changed

    /// Destinations as they are told apart from now on; what was found for the former ones is forgotten.
    mutating func follow(_ classes: DestinationClasses?) {
        self.classes = classes
        routes = [:]
    }

    /// Neighbours as they are known from now on.
    mutating func follow(_ neighbours: KnownNeighbours) { self.neighbours = neighbours }

    /// These neighbours have changed.
    mutating func forget(_ changed: Set<IPAddress>) { neighbours.forget(changed) }

    // MARK: Finding

    mutating func find(_ way: Way) -> FoundWay {
        guard surroundings.addresses.contains(way.arrival), surroundings.addresses.contains(way.source) else {
            return FoundWay(isBarred: true)
        }
        guard looksUp, !way.isHandedOver, let route = route(from: way.source, to: way.destination) else {
            return FoundWay()
        }
        let neighbour = route.gateway ?? way.destination
        var found = FoundWay(neighbour: neighbour, interfaceIndex: route.interfaceIndex)
        // By datagram, the program asks with what it has before it; the neighbour that most leave by is checked all the same.
        guard classes?.isByDatagram != true, let interface = surroundings.interfaces[route.interfaceIndex],
            let mac = macAddress(of: .init(address: neighbour, interfaceIndex: route.interfaceIndex))
        else { return found }
        let linkMTU = way.destination.family == .ipv6 ? interface.ipv6MTU : interface.mtu
        let mtu = route.mtu > 0 ? min(route.mtu, linkMTU) : linkMTU
        found.nextHop = NextHop(
            interfaceIndex: interface.index, mtu: UInt16(clamping: mtu), destination: mac, source: interface.mac)
        return found
    }

    private mutating func route(from source: IPAddress, to destination: IPAddress) -> FoundRoute? {
        let key = classes.flatMap { classes in
            classes.isByDatagram
                ? nil : RouteKey(source: source, destinations: classes.prefix(around: destination))
        }
        if let key, let known = routes[key] { return known }
        var answer = clinux_route()
        let error = unsafe clinux_find_route(
            netlink, clinux_address(source, port: 0), clinux_address(destination, port: 0), &answer)
        guard error == 0, let neighbour = IPAddress(answer.next_hop) else { return nil }
        let route = FoundRoute(
            gateway: answer.has_gateway == 0 ? nil : neighbour, interfaceIndex: answer.interface_index,
            mtu: answer.mtu)
        if let key { routes[key] = route }
        return route
    }

    private mutating func macAddress(of neighbour: RouteTable.Neighbour) -> MACAddress? {
        if let known = neighbours[neighbour] { return known }
        var mac: MACAddress.Octets = (0, 0, 0, 0, 0, 0)
        let status = unsafe withUnsafeMutableBytes(of: &mac) { bytes in
            unsafe clinux_find_neighbour(
                netlink, neighbour.interfaceIndex, clinux_address(neighbour.address, port: 0),
                bytes.baseAddress?.assumingMemoryBound(to: UInt8.self))
        }
        guard status == 0 else { return nil }
        let found = MACAddress(mac)
        neighbours[neighbour] = found
        return found
    }

    /// Has the kernel check that a neighbour is still there: what leaves below the stack never tells it.
    func use(_ neighbour: IPAddress, on interface: UInt32) {
        _ = clinux_use_neighbour(netlink, interface, clinux_address(neighbour, port: 0))
    }
}
