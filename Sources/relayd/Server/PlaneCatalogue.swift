import DataPlaneIOUring
import DataPlaneSocket
import RelayWorker

/// The planes of this build, the best first, with what each says about this host.
struct PlaneCatalogue {
    let candidates: [PlaneChoice.Candidate]
    private let planes: [String: any DataPlane]

    init() {
        let ioUring = IOUringPlane()
        let socket = SocketPlane()
        planes = [ioUring.name: ioUring, socket.name: socket]
        candidates = [
            PlaneChoice.Candidate(name: "xdp", probe: .refused(Self.notBuilt("xdp"))),
            PlaneChoice.Candidate(
                name: ioUring.name, probe: Self.ask { () throws(PlaneError) in try ioUring.probe().description }),
            PlaneChoice.Candidate(
                name: socket.name, probe: Self.ask { () throws(PlaneError) in try socket.probe().description }),
        ]
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

    private static func notBuilt(_ name: String) -> PlaneError {
        PlaneError(
            what: "The \(name) data plane is not part of relayd \(Version.number)",
            why: "this version moves datagrams through sockets and io_uring only",
            mend: "Use --data-plane auto, io-uring or socket.")
    }
}

enum Version {
    static let number = "0.1.0"
}
