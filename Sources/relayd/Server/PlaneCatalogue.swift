import DataPlaneIOUring
import DataPlaneSocket
import DataPlaneXDP
import RelayCore
import RelayWorker
import STUN

/// The planes of this build, in the order in which `auto` takes them, with what each says about this host.
struct PlaneCatalogue {
    let candidates: [PlaneChoice.Candidate]
    /// The XDP program, loaded; nothing where it cannot be, or was not asked for.
    let xdp: XDPSession?
    private let planes: [String: any DataPlane]

    /// - Parameters:
    ///   - relayAddresses: where relayed transport addresses are made.
    ///   - loadsXDP: whether to find out what only loading the program can tell, which takes a while.
    init(_ settings: Settings, relayAddresses: [IPAddress], loadsXDP: Bool) {
        let socket = SocketPlane()
        let ioUring = IOUringPlane()
        var planes: [String: any DataPlane] = [socket.name: socket, ioUring.name: ioUring]
        var candidates = [
            PlaneChoice.Candidate(
                name: socket.name, probe: Self.ask { () throws(PlaneError) in try socket.probe().description }),
            PlaneChoice.Candidate(
                name: ioUring.name, probe: Self.ask { () throws(PlaneError) in try ioUring.probe().description }),
        ]
        var session: XDPSession?
        do throws(PlaneError) {
            guard loadsXDP else { throw Self.byNameOnly }
            let loaded = try XDPSession(settings.xdpOptions(relayAddresses: relayAddresses))
            let plane = XDPPlane(loaded, slowPath: socket)
            planes[plane.name] = plane
            candidates.append(PlaneChoice.Candidate(name: "xdp", probe: .usable(loaded.promise)))
            session = loaded
        } catch {
            candidates.append(PlaneChoice.Candidate(name: "xdp", probe: .refused(error)))
        }
        self.candidates = candidates
        self.planes = planes
        xdp = session
    }

    /// The chosen plane, then those that take over from it.
    func planes(of choice: PlaneChoice) -> [any DataPlane] {
        ([choice.chosen] + choice.fallbacks).compactMap { planes[$0] }
    }

    private static func ask(_ probe: () throws(PlaneError) -> String) -> PlaneProbe {
        do throws(PlaneError) {
            return .usable(try probe())
        } catch {
            return .refused(error)
        }
    }

    private static let byNameOnly = PlaneError(
        what: "auto does not choose xdp yet", why: "it has been tried on few drivers so far",
        mend: "Ask relayd doctor what it would do here, and for it by --data-plane xdp.")
}

extension Settings {
    func xdpOptions(relayAddresses: [IPAddress]) -> XDPOptions {
        var options = XDPOptions()
        options.interfaces = xdpInterfaces
        options.mode = xdpMode
        options.nextHop = xdpNextHop
        options.routes = xdpRoutes
        options.addresses = listen.map(\.ip).filter { !$0.isUnspecifiedAddress } + relayAddresses
        options.relayAddresses = relayAddresses
        options.relayPorts = relayPorts
        options.isRequested = plane == .xdp
        return options
    }
}

enum Version {
    static let number = "0.1.0"
}
