import CLinux
import STUN

/// What a host lets XDP do, for `relayd doctor`. Loads nothing, attaches nothing.
public enum XDPReport {
    public static func lines(_ options: XDPOptions) -> [String] {
        let interfaces =
            options.interfaces.isEmpty
            ? NetworkInterface.carrying(options.addresses)
            : options.interfaces.compactMap { NetworkInterface(name: $0) }
        let found = interfaces.isEmpty ? ["no interface carries an address of the relay"] : interfaces.map(line)
        return found + [capabilities]
    }

    private static func line(_ interface: NetworkInterface) -> String {
        var text = "\(interface.name): driver \(interface.driver.isEmpty ? "unknown" : interface.driver)"
        text += ", MTU \(interface.mtu)"
        text +=
            interface.mtu > InterfaceChoice.largestMTU
            ? " (too large for native mode: at most \(InterfaceChoice.largestMTU))" : " (fits)"
        text += interface.hasLRO ? ", LRO on (ethtool -K \(interface.name) lro off)" : ", LRO off"
        if !interface.isEthernet { text += ", no Ethernet: XDP cannot run here" }
        if interface.isVeth { text += ", needs GRO or an XDP program at its other end" }
        return text
    }

    /// The capabilities that loading and attaching take, by their numbers in linux/capability.h.
    private static let needed: [(name: String, bit: UInt64)] = [
        ("CAP_NET_ADMIN", 12), ("CAP_PERFMON", 38), ("CAP_BPF", 39),
    ]

    private static var capabilities: String {
        let held = clinux_effective_capabilities()
        let isAdministrator = held & (1 << 21) != 0
        let missing = needed.filter { held & (1 << $0.bit) == 0 && !(isAdministrator && $0.bit > 31) }
        guard !missing.isEmpty else { return "capabilities: enough" }
        let names = missing.map(\.name).joined(separator: " ")
        return "capabilities: \(names) missing; run as root, or grant them (systemd: AmbientCapabilities=\(names))"
    }
}
