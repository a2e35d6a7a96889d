import DataPlaneIOUring
import DataPlaneSocket
import DataPlaneXDP
import Logging
import PlaneKit
import RelayCore
import RelayWorker
import STUN
import Synchronization

/// The planes of this build on this host: what each says about itself, and how they are put together.
final class PlaneCatalogue: Sendable {
    /// What a survey may do to find out about XDP.
    enum XDPDepth {
        /// Nothing: another plane was asked for by name.
        case untried
        /// Load the program, attach nothing.
        case load
        /// Load and attach it, so that what only attaching can tell is known before a worker depends on it.
        case attach
    }

    private let settings: Settings
    /// Nothing where nobody reads one.
    private let logger: Logger?
    private let served: Mutex<ServedAddresses>
    /// The program stays loaded once it is: the process may since have lost the right to load it.
    private let session = Mutex<XDPSession?>(nil)
    /// What userspace planes said when they were asked first.
    private let asked = Mutex<[String: Userspace]>([:])
    /// Held while it is loaded, so that it is loaded once; what runs is shown meanwhile.
    private let loading = Mutex(())

    /// - Parameter served: where the relay listens and relays at start.
    init(_ settings: Settings, _ served: ServedAddresses, logger: Logger? = nil) {
        self.settings = settings
        self.logger = logger
        self.served = Mutex(served)
    }

    /// The relay has these addresses by now.
    func follow(_ now: ServedAddresses) {
        // The session under the lock as well: of two changes the later one must reach it last.
        served.withLock { served in
            served = now
            xdp?.follow(now.forXDP)
        }
    }

    /// The XDP program, where it is loaded.
    var xdp: XDPSession? { session.withLock { $0 } }

    /// Asks every plane, in the order in which `auto` takes them.
    func survey(xdp depth: XDPDepth) -> [PlaneChoice.Candidate] {
        let below = slowPath(nil)
        let xdp: PlaneProbe =
            depth == .untried
            ? .untried
            : Self.ask { () throws(PlaneError) in
                try self.promise(above: below, attaching: depth == .attach, isRequested: self.settings.plane == .xdp)
            }
        return [PlaneChoice.Candidate(name: "xdp", probe: xdp)]
            + userspace.map { PlaneChoice.Candidate(name: $0.name, probe: $0.probe) }
    }

    /// A plane that is ready to run, and what it will do.
    ///
    /// - Parameter current: the userspace plane that runs now, which XDP then stands above unless the settings name
    ///   another: so that switching it on or off changes nothing below.
    /// - Parameter isRequested: somebody asked for it by name, and takes what `auto` would not.
    func plane(
        _ name: String, above current: String?, isRequested: Bool
    ) throws(PlaneError) -> (plane: any DataPlane, promise: String) {
        if let found = userspace.first(where: { $0.name == name }) {
            return (found.plane, try Self.promise(of: found))
        }
        guard name == "xdp" else { throw Self.unknown(name) }
        let below = slowPath(current)
        let promise = try promise(above: below, attaching: true, isRequested: isRequested)
        guard let session = xdp, let slowPath = userspace.first(where: { $0.name == below }) else {
            preconditionFailure("a plane that promised something is there")
        }
        return (XDPPlane(session, slowPath: slowPath.plane), promise)
    }

    // MARK: XDP

    private func promise(above slowPath: String?, attaching: Bool, isRequested: Bool) throws(PlaneError) -> String {
        guard let slowPath else {
            throw PlaneError(
                what: "XDP above \(settings.xdpSlowPath.requested ?? "any plane")",
                why: "the plane below it cannot run here",
                mend: "relayd doctor says what that one misses; --xdp-slow-path names another.")
        }
        let session = try loaded(isRequested: isRequested)
        if attaching { try session.prepare() }
        return "\(session.promise), above \(slowPath)"
    }

    private func loaded(isRequested: Bool) throws(PlaneError) -> XDPSession {
        try loading.withLock { _ throws(PlaneError) in
            if let session = xdp { return session }
            let options = settings.xdpOptions(served.withLock { $0.forXDP }, isRequested: isRequested)
            let loaded = try XDPSession(options) { [logger] reason in
                logger?.warning("interface without XDP", metadata: ["reason": "\(reason)"])
            }
            session.withLock { $0 = loaded }
            // They may have changed meanwhile.
            served.withLock { loaded.follow($0.forXDP) }
            return loaded
        }
    }

    /// What stands below XDP: the named one, else the one that runs, else the best that can.
    private func slowPath(_ current: String?) -> String? {
        let usable = userspace.filter(\.isUsable).map(\.name)
        if let named = settings.xdpSlowPath.requested { return usable.first { $0 == named } }
        return usable.first { $0 == current } ?? usable.first
    }

    // MARK: Userspace

    private struct Userspace: Sendable {
        let plane: any DataPlane
        let probe: PlaneProbe
        var name: String { plane.name }

        var isUsable: Bool {
            if case .usable = probe { true } else { false }
        }
    }

    /// In the order in which `auto` takes them, with what they said when they were asked first.
    private var userspace: [Userspace] {
        ["io-uring", "socket"].map { name in
            if let known = asked.withLock({ $0[name] }) { return known }
            let found = askUserspace(name)
            asked.withLock { $0[name] = found }
            return found
        }
    }

    /// Has a plane be asked anew: the host may have changed.
    func forget(_ name: String) { asked.withLock { _ = $0.removeValue(forKey: name) } }

    private func askUserspace(_ name: String) -> Userspace {
        guard name == "socket" else {
            let plane = IOUringPlane(offloads: settings.offloads, features: settings.ringFeatures)
            return Userspace(plane: plane, probe: Self.ask { () throws(PlaneError) in try plane.probe().description })
        }
        let plane = SocketPlane(offloads: settings.offloads)
        return Userspace(plane: plane, probe: Self.ask { () throws(PlaneError) in try plane.probe().description })
    }

    private static func promise(of found: Userspace) throws(PlaneError) -> String {
        switch found.probe {
        case .usable(let promise): return promise
        case .refused(let reason): throw reason
        case .untried: preconditionFailure("userspace planes are always asked")
        }
    }

    private static func ask(_ probe: () throws(PlaneError) -> String) -> PlaneProbe {
        do throws(PlaneError) {
            return .usable(try probe())
        } catch {
            return .refused(error)
        }
    }

    private static func unknown(_ name: String) -> PlaneError {
        PlaneError(
            what: "There is no data plane called \(name)", why: "this build has xdp, io-uring and socket",
            mend: "Choose one of them.")
    }
}

extension Settings {
    func xdpOptions(_ addresses: XDPAddresses, isRequested: Bool) -> XDPOptions {
        var options = XDPOptions()
        options.interfaces = xdpInterfaces
        options.mode = xdpMode
        options.nextHop = xdpNextHop
        options.routes = xdpRoutes
        options.addresses = addresses.all
        options.relayAddresses = addresses.relayAddresses
        options.wildcardFamilies = addresses.wildcardFamilies
        options.relayPorts = relayPorts
        options.isRequested = isRequested
        return options
    }
}

extension ServedAddresses {
    /// As the XDP plane wants them.
    var forXDP: XDPAddresses {
        XDPAddresses(
            listeners: (listeners + leavingListeners.keys).map(\.ip),
            relayAddresses: (relayAddresses + leavingRelayAddresses).map(\.address))
    }
}

enum Version {
    static let number = "0.1.0"
}
