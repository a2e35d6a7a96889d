import RelayWorker
import STUN
import Testing

@testable import DataPlaneXDP

@Suite("Interfaces that XDP is refused on, each with its reason and its mend")
struct InterfaceChoiceTests {
    private func refusal(of interface: NetworkInterface, _ change: (inout XDPOptions) -> Void = { _ in }) -> PlaneError?
    {
        var options = XDPOptions()
        change(&options)
        do throws(PlaneError) {
            try InterfaceChoice.check(interface, options)
            return nil
        } catch {
            return error
        }
    }

    private func choiceRefusal(_ options: XDPOptions) -> PlaneError? {
        do throws(PlaneError) {
            _ = try InterfaceChoice.choose(options, XDPAddresses(options))
            return nil
        } catch {
            return error
        }
    }

    @Test("A card without faults is taken")
    func taken() {
        #expect(refusal(of: .sample()) == nil)
        #expect(refusal(of: .sample(mtu: 3498)) == nil)
    }

    @Test("A large MTU is refused in native mode alone")
    func largeMTU() throws {
        let jumbo = NetworkInterface.sample(mtu: 3499)
        let reason = try #require(refusal(of: jumbo))
        #expect(reason.what == "XDP on eth7")
        #expect(reason.why == "its MTU is 3499, and a frame must fit into a page")
        #expect(reason.mend == "ip link set eth7 mtu 3498 or less.")
        #expect(refusal(of: jumbo) { $0.mode = .auto } == nil)
        #expect(refusal(of: jumbo) { $0.mode = .generic } == nil)
    }

    @Test("Large receive offload is refused")
    func largeReceiveOffload() throws {
        let reason = try #require(refusal(of: .sample(hasLRO: true)))
        #expect(reason.why == "large receive offload is on" && reason.mend == "ethtool -K eth7 lro off")
    }

    @Test("What carries no Ethernet frames is refused in every mode", arguments: XDPOptions.Mode.allCases)
    func noEthernet(mode: XDPOptions.Mode) throws {
        let reason = try #require(refusal(of: .sample(isEthernet: false)) { $0.mode = mode })
        #expect(reason.why == "it carries no Ethernet frames" && reason.mend.contains("--data-plane socket"))
    }

    @Test("A veth is taken by whom it is asked for")
    func veth() throws {
        let veth = NetworkInterface.sample(driver: "veth")
        let reason = try #require(refusal(of: veth))
        #expect(reason.why.contains("veth") && reason.mend.contains("--data-plane xdp"))
        #expect(refusal(of: veth) { $0.isRequested = true } == nil)
        #expect(refusal(of: veth) { $0.interfaces = ["eth7"] } == nil)
    }

    @Test("A name that no interface has is refused")
    func noSuchName() throws {
        var options = XDPOptions()
        options.interfaces = ["nosuch0"]
        let reason = try #require(choiceRefusal(options))
        #expect(reason.what == "xdp-interface nosuch0")
        #expect(reason.why == "there is no interface of that name" && reason.mend == "ip link shows the names.")
    }

    @Test("Addresses that no interface carries are refused")
    func noneThatCarries() throws {
        var options = XDPOptions()
        options.relayAddresses = [ip("203.0.113.250")]
        options.addresses = options.relayAddresses
        let reason = try #require(choiceRefusal(options))
        #expect(reason.what == "No interface for XDP" && reason.why.contains("none that is up carries an address"))
        #expect(reason.mend.contains("--xdp-interface"))
    }

    @Test(
        "What the kernel says to an attachment is told with the likely mend",
        arguments: [
            (1, "Operation not permitted", "older ones need root"),
            (12, "Cannot allocate memory", "fewer queues (ethtool -L eth7 combined N)"),
            (16, "Device or resource busy", "ip link set eth7 xdp off"),
            (22, "Invalid argument", "--xdp-mode generic"),
            (28, "No space left on device", "fewer there (ethtool -L IF tx N)"),
            (34, "Numerical result out of range", "not with this MTU"),
            (95, "Operation not supported", "The driver mlx5_core cannot"),
            (5, "Input/output error", "relayd doctor"),
        ])
    func kernelRefusal(error: Int32, why: String, mend: String) {
        let reason = InterfaceChoice.refusal(of: .sample(), error: error, .native)
        #expect(reason.what == "attaching XDP to eth7 (native)")
        #expect(reason.why.contains(why))
        #expect(reason.mend.contains(mend))
    }
}
