import CBPF
import RelayWorker
import STUN

/// What a host lets XDP do, for `relayd doctor`. Attaches nothing.
public enum XDPReport {
    public static func lines(_ options: XDPOptions) -> [String] {
        interfaces(options) + [KernelRelease.current.verdict, memory(options)] + capabilities(Privileges.held)
    }

    private static func interfaces(_ options: XDPOptions) -> [String] {
        guard !options.interfaces.isEmpty else {
            let found = NetworkInterface.carrying(options.addresses)
            guard !found.isEmpty else {
                return ["no interface that is up carries an address of the relay: name one with --xdp-interface"]
            }
            let others = InterfaceChoice.others(XDPAddresses(options), beside: found.map(\.index)).map { $0.interface }
            return (found + others).map { line($0, options) }
        }
        return options.interfaces.map { name in
            NetworkInterface(name: name).map { line($0, options) }
                ?? "\(name): there is no interface of that name (ip link shows the names)"
        }
    }

    private static func line(_ interface: NetworkInterface, _ options: XDPOptions) -> String {
        let cpus = max(1, Int(cbpf_possible_cpus()))
        return InterfaceReport(interface, cpuCount: cpus, mode: options.mode).line
    }

    /// Maps are charged to the memory of the process's cgroup, since Linux 5.11 not to RLIMIT_MEMLOCK.
    static func memory(_ options: XDPOptions) -> String {
        let bytes = XDPProgram.Sizes(routes: options.routes).mapByteCount
        let megabytes = (bytes + 1 << 20 - 1) >> 20
        return "maps: \(megabytes) MB for \(options.routes) routes (--xdp-routes), charged to the cgroup (systemd: "
            + "MemoryMax); no memlock limit and no BTF of the kernel are needed"
    }

    static func capabilities(_ held: CapabilitySet) -> [String] {
        let missing = LoadingCapability.missing(from: held)
        guard let first = missing.first else { return ["capabilities: enough"] }
        return ["capabilities: run as root, or grant \(first.mend(with: missing.dropFirst()))"]
            + missing.map { "  \($0.reason)" }
    }
}

/// One interface in a person's words: what holds, and for what does not, the mend.
struct InterfaceReport {
    let line: String

    init(_ interface: NetworkInterface, cpuCount: Int, mode: XDPOptions.Mode) {
        guard interface.isEthernet else {
            line = "\(interface.name): no Ethernet: XDP cannot run here"
            return
        }
        let facts = [
            "driver \(interface.driver.isEmpty ? "unknown" : interface.driver)",
            Self.nativeMode(of: interface), Self.mtu(of: interface), Self.queues(of: interface, cpuCount),
            interface.hasLRO ? "LRO on: ethtool -K \(interface.name) lro off" : "LRO off",
            interface.stripsVLANTags && !interface.isVeth
                ? "VLAN tags are taken off before XDP (with VLANs on it: ethtool -K \(interface.name) rxvlan off)"
                : nil,
            interface.isVeth ? "needs GRO or an XDP program at its other end" : nil,
            mode == .native ? nil : "generic mode allowed",
        ]
        line = "\(interface.name): " + facts.compactMap { $0 }.joined(separator: ", ")
    }

    private static func nativeMode(of interface: NetworkInterface) -> String {
        switch interface.canXDP {
        case true?: return "native XDP"
        case false?: return "no native XDP in this driver: --xdp-mode generic, or --data-plane socket"
        case nil: return "native XDP unknown (Linux 6.3 or newer would say): attaching tells"
        }
    }

    private static func mtu(of interface: NetworkInterface) -> String {
        let largest = InterfaceChoice.largestMTU
        guard interface.mtu > largest else { return "MTU \(interface.mtu)" }
        return "MTU \(interface.mtu), too large for native mode: ip link set \(interface.name) mtu \(largest)"
    }

    /// A driver that gives every CPU a queue to send by needs as many, or refuses the program.
    private static func queues(of interface: NetworkInterface, _ cpuCount: Int) -> String? {
        guard interface.queueCount > 0 else { return nil }
        let queues = "\(interface.queueCount) of \(interface.largestQueueCount) queues, \(cpuCount) CPUs"
        let wanted = min(cpuCount, interface.largestQueueCount)
        guard interface.queueCount < wanted else { return queues }
        return queues + ": more CPUs would relay with ethtool -L \(interface.name) combined \(wanted)"
    }
}
