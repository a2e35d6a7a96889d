import RelayWorker
import STUN

/// Which interfaces the program goes to, and why not.
enum InterfaceChoice {
    /// A packet of this size and its headers fit into the page that a driver gives a program.
    static let largestMTU: UInt32 = 3498

    static func choose(_ options: XDPOptions, _ addresses: XDPAddresses) throws(PlaneError) -> [NetworkInterface] {
        let found = options.interfaces.isEmpty ? NetworkInterface.carrying(addresses.all) : try named(options)
        guard !found.isEmpty else {
            throw PlaneError(
                what: "No interface for XDP", why: "none that is up carries an address of the relay",
                mend: "Name one with --xdp-interface, or give listen and relay-address addresses of this host.")
        }
        for interface in found { try check(interface, options) }
        return found
    }

    /// The interfaces that may have the program besides the chosen ones, where those were not named: each as it allows.
    /// Those of default routes, where the relay has no address, are optional.
    static func others(
        _ addresses: XDPAddresses, beside chosen: [UInt32]
    ) -> [(interface: NetworkInterface, isOptional: Bool)] {
        let carrying = NetworkInterface.carrying(addresses.all)
        let routed = NetworkInterface.ofDefaultRoutes(addresses.wildcardFamilies).filter { interface in
            !carrying.contains { $0.index == interface.index }
        }
        let others =
            carrying.map { (interface: $0, isOptional: false) } + routed.map { (interface: $0, isOptional: true) }
        return others.filter { !chosen.contains($0.interface.index) }
    }

    private static func named(_ options: XDPOptions) throws(PlaneError) -> [NetworkInterface] {
        var found: [NetworkInterface] = []
        for name in options.interfaces {
            guard let interface = NetworkInterface(name: name) else {
                throw PlaneError(
                    what: "xdp-interface \(name)", why: "there is no interface of that name",
                    mend: "ip link shows the names.")
            }
            found.append(interface)
        }
        return found
    }

    static func check(_ interface: NetworkInterface, _ options: XDPOptions) throws(PlaneError) {
        guard interface.isEthernet else {
            throw PlaneError(
                what: "XDP on \(interface.name)", why: "it carries no Ethernet frames",
                mend: "Choose other addresses or --xdp-interface, or --data-plane socket.")
        }
        // Where the generic part of the kernel may take over, attaching tells which of the two it is.
        guard interface.mtu <= largestMTU || options.mode != .native else {
            throw PlaneError(
                what: "XDP on \(interface.name)", why: "its MTU is \(interface.mtu), and a frame must fit into a page",
                mend: "ip link set \(interface.name) mtu \(largestMTU) or less.")
        }
        guard !interface.hasLRO else {
            throw PlaneError(
                what: "XDP on \(interface.name)", why: "large receive offload is on",
                mend: "ethtool -K \(interface.name) lro off")
        }
        let isAskedFor = options.isRequested || !options.interfaces.isEmpty
        guard !interface.isVeth || isAskedFor else {
            throw PlaneError(
                what: "XDP on \(interface.name)",
                why: "it is a veth, by which a program can send only while GRO or a program is on at its other end",
                mend: "Where that is so: --data-plane xdp. Better: run on the interface of the host.")
        }
    }

    /// What it most likely means that a program cannot be attached.
    static func refusal(of interface: NetworkInterface, error: Int32, _ mode: XDPOptions.Mode) -> PlaneError {
        let mend =
            switch error {
            case 1, 13:
                "\(KernelRelease.oldest) or newer lets a loaded program be attached without rights; older ones need root."
            case 16, 17: "Another XDP program is there already: ip link set \(interface.name) xdp off."
            case 22, 34, 95:
                "The driver \(interface.driver) cannot, or not with this MTU or as many queues: lower them (ethtool -L), "
                    + "or accept the slower --xdp-mode generic."
            case 28:
                "It has fewer queues to receive by than its other end has to send by: more here (ethtool -L "
                    + "\(interface.name) rx N; a veth needs numrxqueues when it is made), fewer there (ethtool -L IF tx N), "
                    + "or the slower --xdp-mode generic."
            case 12: "The driver lacks memory or queues for it: fewer queues (ethtool -L \(interface.name) combined N)."
            default: "relayd doctor says what this host allows."
            }
        return PlaneError(
            what: "attaching XDP to \(interface.name) (\(mode.rawValue))", why: String(systemErrorNumber: error),
            mend: mend)
    }
}
