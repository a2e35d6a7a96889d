import DataPlaneSocket
import RelayWorker

/// The planes of this build, the best first, with what each says about this host.
struct PlaneCatalogue {
    let candidates: [PlaneChoice.Candidate]
    private let planes: [String: any DataPlane]

    init() {
        let socket = SocketPlane()
        planes = [socket.name: socket]
        candidates = [
            PlaneChoice.Candidate(name: "xdp", probe: .refused(Self.notBuilt("xdp"))),
            PlaneChoice.Candidate(name: "io-uring", probe: .refused(Self.notBuilt("io-uring"))),
            PlaneChoice.Candidate(name: socket.name, probe: Self.ask(socket)),
        ]
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
            why: "this version moves datagrams through sockets only",
            mend: "Use --data-plane auto or socket.")
    }
}

enum Version {
    static let number = "0.1.0"
}
