import STUN
import Testing

@testable import DataPlaneXDP

@Suite("What relayd doctor says of a host where XDP lacks something")
struct InterfaceReportTests {
    private func line(_ interface: NetworkInterface, cpuCount: Int = 8, mode: XDPOptions.Mode = .native) -> String {
        InterfaceReport(interface, cpuCount: cpuCount, mode: mode).line
    }

    @Test("A card without faults has facts and nothing to do")
    func good() {
        #expect(line(.sample()) == "eth7: driver mlx5_core, native XDP, MTU 1500, 8 of 8 queues, 8 CPUs, LRO off")
    }

    @Test("A large MTU")
    func largeMTU() {
        let jumbo = NetworkInterface.sample(mtu: 9000)
        #expect(line(jumbo).contains("MTU 9000, too large for native mode: ip link set eth7 mtu 3498"))
        #expect(line(jumbo, mode: .auto).hasSuffix("generic mode allowed"))
    }

    @Test("Large receive offload")
    func largeReceiveOffload() {
        #expect(line(.sample(hasLRO: true)).contains("LRO on: ethtool -K eth7 lro off"))
    }

    @Test("VLAN tags that no program sees")
    func vlanTags() {
        #expect(
            line(.sample(stripsVLANTags: true)).contains(
                "taken off before XDP (with VLANs on it: ethtool -K eth7 rxvlan off)"))
    }

    @Test("A driver without native XDP, or half of it, and a kernel that does not say", arguments: [0, 1, 2])
    func noNativeMode(features: UInt64) {
        let words = "no native XDP in this driver: --xdp-mode generic, or --data-plane socket"
        #expect(line(.sample(driver: "", xdpFeatures: features)).contains("driver unknown, \(words)"))
        #expect(line(.sample(xdpFeatures: nil)).contains("native XDP unknown (Linux 6.3 or newer would say)"))
    }

    @Test("Fewer queues than CPUs, and than there may be")
    func fewQueues() {
        let mend = ": more CPUs would relay with ethtool -L eth7 combined"
        #expect(line(.sample(queueCount: 2)).contains("2 of 8 queues, 8 CPUs\(mend) 8"))
        #expect(line(.sample(queueCount: 2, largestQueueCount: 4)).contains("2 of 4 queues, 8 CPUs\(mend) 4"))
        #expect(!line(.sample(queueCount: 4, largestQueueCount: 4)).contains("more CPUs"))
        #expect(!line(.sample(queueCount: 2), cpuCount: 2).contains("more CPUs"))
        #expect(!line(.sample(queueCount: 0, largestQueueCount: 0)).contains("queues"))
    }

    @Test("No Ethernet, and a veth")
    func otherKinds() {
        #expect(line(.sample(isEthernet: false)) == "eth7: no Ethernet: XDP cannot run here")
        #expect(line(.sample(driver: "veth")).contains("needs GRO or an XDP program at its other end"))
    }

    @Test("Interfaces that are not there")
    func missing() {
        var options = XDPOptions()
        options.addresses = [ip("203.0.113.250")]
        #expect(
            XDPReport.lines(options).first
                == "no interface that is up carries an address of the relay: name one with --xdp-interface")
        options.interfaces = ["nosuch0"]
        #expect(
            XDPReport.lines(options).first == "nosuch0: there is no interface of that name (ip link shows the names)")
    }

    @Test("Capabilities that are missing, each with its purpose, and one mend for all")
    func capabilities() {
        #expect(XDPReport.capabilities(CapabilitySet([.bpf, .netAdmin, .perfmon])) == ["capabilities: enough"])
        #expect(XDPReport.capabilities(CapabilitySet([.sysAdmin, .netAdmin])) == ["capabilities: enough"])
        let lines = XDPReport.capabilities(CapabilitySet([.netAdmin]))
        let names = "CAP_BPF CAP_PERFMON"
        #expect(
            lines == [
                "capabilities: run as root, or grant \(names) (systemd: AmbientCapabilities=\(names))",
                "  CAP_BPF is missing, which is needed to make maps and load programs",
                "  CAP_PERFMON is missing, which is needed for the verifier to let a program compute with pointers",
            ])
    }

    @Test("An old kernel")
    func oldKernel() {
        #expect(
            KernelRelease("5.15.0-91-generic")?.verdict
                == "kernel: Linux 5.15, too old: Linux 5.19 or newer is needed")
        #expect(KernelRelease("5.19.0")?.verdict == "kernel: Linux 5.19, new enough")
        #expect(KernelRelease("nonsense") == nil)
    }

    @Test("The memory of the maps grows with the routes, and is the cgroup's")
    func memory() throws {
        func megabytes(_ routes: Int) throws -> Int {
            var options = XDPOptions()
            options.routes = routes
            let line = XDPReport.memory(options)
            #expect(line.hasPrefix("maps: ") && line.contains(" MB for \(routes) routes (--xdp-routes)"))
            #expect(line.contains("cgroup (systemd: MemoryMax)") && line.contains("no memlock limit"))
            return try #require(Int(line.split(separator: " ")[1]))
        }
        // Two entries of a cache line a route, addresses besides, and room.
        let (few, many) = (try megabytes(16_384), try megabytes(65_536))
        #expect(few >= 8 && many > 3 * few)
    }
}
