import DataPlaneSocket
import DataPlaneXDP
import RelayCore
import RelayWorker
import STUN

/// The planes of this build, the best first, with what each says about this host.
struct PlaneCatalogue {
    let candidates: [PlaneChoice.Candidate]
    /// The XDP program, loaded; nothing where it cannot be, or was not asked for.
    let xdp: XDPSession?
    private let planes: [String: any DataPlane]

    /// - Parameter relayAddresses: where relayed transport addresses are made.
    init(_ settings: Settings, relayAddresses: [IPAddress]) {
        let socket = SocketPlane()
        var planes: [String: any DataPlane] = [socket.name: socket]
        var candidates = [
            PlaneChoice.Candidate(name: "io-uring", probe: .refused(Self.notBuilt("io-uring"))),
            PlaneChoice.Candidate(name: socket.name, probe: Self.ask(socket)),
        ]
        var session: XDPSession?
        if [.auto, .xdp].contains(settings.plane) {
            do throws(PlaneError) {
                let loaded = try XDPSession(settings.xdpOptions(relayAddresses: relayAddresses))
                let plane = XDPPlane(loaded, slowPath: socket)
                planes[plane.name] = plane
                candidates.insert(PlaneChoice.Candidate(name: "xdp", probe: .usable(loaded.promise)), at: 0)
                session = loaded
            } catch {
                candidates.insert(PlaneChoice.Candidate(name: "xdp", probe: .refused(error)), at: 0)
            }
        }
        self.candidates = candidates
        self.planes = planes
        xdp = session
    }

    /// The chosen plane, then those that take over from it.
    func planes(of choice: PlaneChoice) -> [any DataPlane] {
        ([choice.chosen] + choice.fallbacks).compactMap { planes[$0] }
    }

    private static func ask(_ plane: SocketPlane) -> PlaneProbe {
        do throws(PlaneError) {
            return .usable(try plane.probe().description)
        } catch {
            return .refused(error)
        }
    }

    private static func notBuilt(_ name: String) -> PlaneError {
        PlaneError(
            what: "The \(name) data plane is not part of relayd \(Version.number)",
            why: "this version moves datagrams through sockets and XDP only",
            mend: "Use --data-plane auto, xdp or socket.")
    }
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
