import ArgumentParser
import DataPlaneXDP
import Glibc
import RelayCore
import RelayWorker
import STUN

/// `relayd doctor`: what this host allows, plane by plane, and why not.
struct Doctor: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say which data planes this host allows, why not the others, and what limits it sets.")

    @OptionGroup var options: CommandLineOptions

    func run() throws {
        let loaded = LoadedSettings(options)
        for problem in loaded.problems { print("ignored: \(problem)") }
        let settings = loaded.settings
        print("data planes (auto takes the first that says yes)")
        // The addresses of the default routes, where none are named; without any there is nothing to attach to.
        let relayAddresses = (try? settings.coreConfiguration().relayAddresses) ?? []
        let served = ServedAddresses(listeners: settings.listen, relayAddresses: relayAddresses)
        let catalogue = PlaneCatalogue(settings, served)
        for candidate in catalogue.survey(xdp: .load) {
            switch candidate.probe {
            case .usable(let promise): print("  \(candidate.name): yes: \(promise)")
            case .refused(let reason): print("  \(candidate.name): no: \(reason)")
            case .untried: print("  \(candidate.name): not tried")
            }
        }
        print("\nXDP")
        for line in XDPReport.lines(
            settings.xdpOptions(served.forXDP, isRequested: settings.plane == .xdp))
        { print("  \(line)") }
        print("\nhost")
        for line in HostReport(settings).lines { print("  \(line)") }
    }
}

/// Limits of the host that a relay runs into, each with its mend.
struct HostReport {
    private(set) var lines: [String] = []

    init(_ settings: Settings) {
        lines =
            [
                descriptors(settings), buffer("rmem_max", settings.receiveBufferBytes, forced: SO_RCVBUFFORCE),
                buffer("wmem_max", settings.sendBufferBytes, forced: SO_SNDBUFFORCE),
            ]
            + [ephemeralPorts(settings), privilegedPorts(settings), connectionTracking()].compactMap { $0 }
    }

    private func descriptors(_ settings: Settings) -> String {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        let wanted = settings.relayPorts.count
        let verdict = limit.rlim_max >= UInt64(wanted) ? "enough" : "raise it (ulimit -Hn, LimitNOFILE) to use them all"
        return "open files: at most \(limit.rlim_max), for \(wanted) relay ports an address: \(verdict)"
    }

    /// - Parameter forced: the option of setsockopt that goes beyond the limit where this process may.
    private func buffer(_ name: String, _ wanted: Int, forced: Int32) -> String {
        let path = "/proc/sys/net/core/\(name)"
        guard let text = try? TextFile.read(path), let bytes = Int(text.filter(\.isNumber)) else {
            return "\(name): unknown (\(path) cannot be read)"
        }
        guard bytes < wanted else { return "\(name): \(bytes) bytes: enough for \(wanted)" }
        guard !mayExceed(forced, wanted) else {
            return "\(name): \(bytes) bytes, but CAP_NET_ADMIN goes beyond it: enough for \(wanted)"
        }
        return "\(name): \(bytes) bytes, \(wanted) wanted: sysctl -w net.core.\(name)=\(wanted), or grant CAP_NET_ADMIN"
    }

    /// As the planes do it, because the capability counts in the namespace of the network only.
    private func mayExceed(_ forced: Int32, _ bytes: Int) -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var size = Int32(clamping: bytes)
        return setsockopt(descriptor, SOL_SOCKET, forced, &size, socklen_t(MemoryLayout<Int32>.size)) == 0
    }

    /// Other programs' outgoing sockets may sit on relay ports; a bind finds out, but it costs ports.
    private func ephemeralPorts(_ settings: Settings) -> String? {
        guard let text = try? TextFile.read("/proc/sys/net/ipv4/ip_local_port_range") else { return nil }
        let ends = text.split(whereSeparator: \.isWhitespace).compactMap { UInt16($0) }
        guard ends.count == 2, ends[0] <= ends[1], settings.relayPorts.overlaps(ends[0]...ends[1]) else {
            return "ephemeral ports: apart from the relay ports"
        }
        return
            "ephemeral ports: \(ends[0])-\(ends[1]) overlap relay-ports \(settings.relayPorts.text); if other programs "
            + "run here: sysctl -w net.ipv4.ip_local_reserved_ports=\(settings.relayPorts.text)"
    }

    /// Every relayed flow is a connection for the kernel's firewall, and a full table drops datagrams.
    private func connectionTracking() -> String? {
        guard let text = try? TextFile.read("/proc/sys/net/netfilter/nf_conntrack_max"),
            let flows = Int(text.filter(\.isNumber))
        else { return nil }
        return
            "connection tracking: at most \(flows) flows, relayed ones included; exempt UDP of the listeners and of the "
            + "relay ports with notrack rules, or raise net.netfilter.nf_conntrack_max"
    }

    private func privilegedPorts(_ settings: Settings) -> String? {
        let text = try? TextFile.read("/proc/sys/net/ipv4/ip_unprivileged_port_start")
        let first = text.flatMap { UInt16($0.filter(\.isNumber)) } ?? 1024
        guard let low = settings.listen.first(where: { $0.port < first }), !Privileges.hasHeld(.bindLowPorts) else {
            return nil
        }
        return "listen \(low): ports below \(first) need CAP_NET_BIND_SERVICE"
    }
}
