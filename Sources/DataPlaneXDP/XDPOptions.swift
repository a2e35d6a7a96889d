public import STUN

/// What the plane is told at start.
public struct XDPOptions: Sendable, Equatable {
    /// How the program is attached.
    public enum Mode: String, Sendable, CaseIterable {
        /// In the driver, else in the generic part of the kernel.
        case auto
        /// In the driver or not at all.
        case native
        /// In the generic part of the kernel: works everywhere, and is slower than it could be.
        case generic
    }

    /// Where frames go next.
    public enum NextHop: String, Sendable, CaseIterable {
        /// As the kernel's routes and neighbours say.
        case fib
        /// Back to whom the packet came from: for hosts with one interface and one router.
        case swap
    }

    /// Interfaces by name; none: those that carry the addresses.
    public var interfaces: [String] = []
    public var mode = Mode.native
    public var nextHop = NextHop.fib
    /// Routes that the kernel can hold at once.
    public var routes = 16_384
    /// Addresses of listeners and of relayed transport addresses, as they stand on this host at start.
    public var addresses: [IPAddress] = []
    public var relayAddresses: [IPAddress] = []
    /// Families of wildcard listeners.
    public var wildcardFamilies: Set<AddressFamily> = []
    public var relayPorts: ClosedRange<UInt16> = 49152...65535
    /// The plane was asked for by name; otherwise it must not be chosen where it could lose packets.
    public var isRequested = false

    public init() {}
}

/// The addresses of a relay, as they stand on this host.
public struct XDPAddresses: Sendable, Equatable {
    /// Of listeners that have one, and of relayed transport addresses.
    public var all: [IPAddress]
    /// Of relayed transport addresses, those included that are there only because allocations still live on them.
    public var relayAddresses: [IPAddress]
    /// Families of listeners at the wildcard address: their clients come in by default routes, as far as can be known.
    public var wildcardFamilies: Set<AddressFamily>

    public init(listeners: [IPAddress], relayAddresses: [IPAddress]) {
        func isWildcard(_ address: IPAddress) -> Bool { address.high == 0 && address.low == 0 }
        all = listeners.filter { !isWildcard($0) } + relayAddresses
        self.relayAddresses = relayAddresses
        wildcardFamilies = Set(listeners.filter(isWildcard).map(\.family))
    }

    /// Those that a session starts with.
    init(_ options: XDPOptions) {
        all = options.addresses
        relayAddresses = options.relayAddresses
        wildcardFamilies = options.wildcardFamilies
    }
}
