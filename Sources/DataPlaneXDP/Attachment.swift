import CBPF
import CLinux
import RelayWorker

/// The program at one interface, for as long as its descriptor is open: the kernel's word for it is link.
struct Attachment: Sendable {
    let interface: NetworkInterface
    /// Native or generic.
    let mode: XDPOptions.Mode
    /// Whether the program may send frames by it.
    private(set) var isDeparture = false
    /// Whether the relay has no address there: when it is lost, the program goes on at the others.
    let isOptional: Bool
    private let link: Int32

    /// Native first; generic only where that is allowed.
    init(
        _ program: XDPProgram, to interface: NetworkInterface, _ wanted: XDPOptions.Mode, isOptional: Bool = false
    ) throws(PlaneError) {
        var refusal: Int32 = 0
        for mode in wanted == .auto ? [.native, .generic] : [wanted] {
            let link = cbpf_attach(program.program, interface.index, mode == .native ? 1 : 0)
            guard link < 0 else {
                self.interface = interface
                self.mode = mode
                self.isOptional = isOptional
                self.link = link
                return
            }
            refusal = link
        }
        throw InterfaceChoice.refusal(of: interface, error: -refusal, wanted)
    }

    func detach(_ program: XDPProgram) {
        _ = clinux_close(link)
        program.removeDevice(interface.index)
    }

    /// Lets the program send frames by this interface, or pass those that would leave by it.
    mutating func setDeparture(_ isWanted: Bool, _ program: XDPProgram) throws(PlaneError) {
        guard isWanted != isDeparture else { return }
        if isWanted {
            let error = program.addDevice(interface.index)
            guard error == 0 else {
                throw XDPProgram.refusal("letting frames leave by \(interface.name)", error, "")
            }
        } else {
            program.removeDevice(interface.index)
        }
        isDeparture = isWanted
    }

    /// Why the program is not at the interface any more; nothing while it is.
    func fault(_ program: XDPProgram) -> PlaneError? {
        switch cbpf_check_link(link, program.program) {
        case 0: nil
        case -19:
            PlaneError(
                what: "The XDP program is no longer attached to \(interface.name)",
                why: "the interface is gone, or somebody detached the program (bpftool link detach)",
                mend: "Restart relayd once the interface is there again.")
        case -16:
            PlaneError(
                what: "The XDP program on \(interface.name) is another one", why: "somebody replaced it",
                mend: "Remove that one and restart relayd.")
        case let error:
            PlaneError(
                what: "asking for the XDP program on \(interface.name)", why: String(systemErrorNumber: -error),
                mend: "Restart relayd; relayd doctor says what this host allows.")
        }
    }
}
