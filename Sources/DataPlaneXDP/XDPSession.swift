import CBPF
import CLinux
import CRelayABI
public import RelayWorker
import STUN
import Synchronization

/// The program in the kernel, its routes and its attachments: one for all workers of a relay.
///
/// Made by the probe, which loads the program; attached while a worker runs.
public final class XDPSession: Sendable {
    private struct State: Sendable {
        var users = 0
        var table: RouteTable?
        var links: [Int32] = []
        var monitor: ChangeMonitor?
        var attached: [String] = []
    }

    let options: XDPOptions
    let interfaces: [NetworkInterface]
    let program: XDPProgram
    private let hashSeed: UInt64
    private let state = Mutex(State())

    /// Looks for interfaces, checks them, and has the kernel verify the program. Attaches nothing.
    public init(_ options: XDPOptions) throws(PlaneError) {
        self.options = options
        interfaces = try InterfaceChoice.choose(options)
        hashSeed = UInt64.random(in: 1 ... .max)
        program = try XDPProgram(sizes: XDPProgram.Sizes(routes: options.routes))
    }

    /// What the plane will do, for a person.
    public var promise: String {
        let names = interfaces.map { "\($0.name) (\($0.driver.isEmpty ? "unknown driver" : $0.driver))" }
        let mode = options.mode == .auto ? "native, else generic" : options.mode.rawValue
        return "XDP on \(names.joined(separator: ", ")), \(mode), next hops by \(options.nextHop.rawValue), "
            + "\(options.routes) routes"
    }

    /// Attaches the program ahead of the workers, so that what only attaching can tell is known before they depend on
    /// it. Until a worker installs routes, it passes everything.
    public func prepare() throws(PlaneError) {
        try state.withLock { state throws(PlaneError) in
            if state.links.isEmpty { try attach(&state) }
        }
    }

    /// One more worker uses the session.
    func start() throws(PlaneError) {
        try state.withLock { state throws(PlaneError) in
            if state.links.isEmpty { try attach(&state) }
            state.users += 1
        }
    }

    /// One worker less; the last one detaches the program.
    func finish() {
        state.withLock { $0.users -= 1 }
        detachIfUnused()
    }

    /// Detaches a program that was prepared and that no worker uses.
    public func detachIfUnused() {
        let monitor = state.withLock { state -> ChangeMonitor? in
            guard state.users == 0 else { return nil }
            detach(&state)
            defer { state.monitor = nil }
            return state.monitor
        }
        // Outside of the lock: its thread may be waiting for it.
        monitor?.stop()
    }

    /// Routes change under one lock; packets never wait for it.
    func withTable<Result: Sendable>(_ body: (inout RouteTable) -> Result) -> Result {
        state.withLock { state in
            guard var table = state.table.take() else {
                preconditionFailure("routes of a session that has not started")
            }
            defer { state.table = table }
            return body(&table)
        }
    }

    private func attach(_ state: inout State) throws(PlaneError) {
        let finder = try WayFinder(interfaces: interfaces)
        let policy = RouteTable.Policy(
            relayAddresses: options.relayAddresses, findsNextHops: options.nextHop == .fib, hashSeed: hashSeed)
        do throws(PlaneError) {
            let clock = try LeaseClock.read(program)
            state.table = RouteTable(program, policy: policy, finder: finder, clock: clock)
            configure()
            for interface in interfaces {
                let (link, mode) = try attach(to: interface)
                state.links.append(link)
                state.attached.append("\(interface.name) \(mode.rawValue)")
            }
            state.monitor = try ChangeMonitor(self, finder: finder)
        } catch {
            detach(&state)
            finder.close()
            throw error
        }
    }

    private func configure() {
        var settings = relay_settings()
        settings.hash_seed = hashSeed
        settings.flags = (options.nextHop == .swap ? RELAY_SWAP_NEXT_HOP : RELAY_FIB_NEXT_HOP).rawValue
        if isAnyVeth { settings.flags |= RELAY_ALWAYS_REDIRECT.rawValue }
        settings.lowest_relay_port = options.relayPorts.lowerBound
        settings.highest_relay_port = options.relayPorts.upperBound
        settings.swap_mtu = UInt16(clamping: interfaces.map(\.mtu).min() ?? 0)
        program.configure(settings)
    }

    private var isAnyVeth: Bool { interfaces.contains { $0.driver == "veth" } }

    /// Native first; generic only where that is allowed.
    private func attach(to interface: NetworkInterface) throws(PlaneError) -> (link: Int32, XDPOptions.Mode) {
        if interfaces.count > 1 || isAnyVeth {
            let error = program.addDevice(interface.index)
            guard error == 0 else {
                throw XDPProgram.refusal("letting frames leave by \(interface.name)", error, "")
            }
        }
        var error: Int32 = 0
        for mode in options.mode == .auto ? [.native, .generic] : [options.mode] {
            let link = cbpf_attach(program.program, interface.index, mode == .native ? 1 : 0)
            if link >= 0 { return (link, mode) }
            error = link
        }
        throw InterfaceChoice.refusal(of: interface, error: -error, options.mode)
    }

    private func detach(_ state: inout State) {
        program.disable()
        for link in state.links { _ = clinux_close(link) }
        for interface in interfaces { program.removeDevice(interface.index) }
        state.links = []
        state.attached = []
        state.table = nil
    }

    // MARK: What the monitor does

    /// Looks ways up again that a change may concern; nil: all of them.
    func followChange(of neighbours: Set<IPAddress>?, _ finder: WayFinder) {
        let ways = state.withLock { $0.table?.waysConcerned(by: neighbours) ?? [] }
        for way in ways {
            let found = finder.find(way)
            state.withLock { $0.table?.update(way, found) }
        }
    }

    /// Lets memory be used again that no program looks at any more.
    func recycle() {
        let quarantine = state.withLock { $0.table?.takeQuarantine() }
        guard let quarantine, !quarantine.isEmpty else { return }
        // Where the kernel refuses to say, the memory stays unused: the routes that lack it take the slow path.
        guard cbpf_wait_for_readers() == 0 else { return }
        state.withLock { $0.table?.sweep(quarantine) }
    }

    /// Sets the clock of leases again, and has the kernel check the neighbours in use.
    func refresh(_ finder: WayFinder) {
        if let clock = try? LeaseClock.read(program) { state.withLock { $0.table?.clock = clock } }
        let neighbours = state.withLock { $0.table?.neighbours ?? [] }
        for neighbour in neighbours { finder.use(neighbour.address, on: neighbour.interfaceIndex) }
    }

    // MARK: What others see

    public var statistics: XDPStatistics {
        let (routes, refused, attached) = state.withLock {
            ($0.table?.routeCount ?? 0, $0.table?.refusedCount ?? 0, $0.attached)
        }
        return XDPStatistics(
            routes: routes, refusedRoutes: refused, attachments: attached, frames: FrameCount.all(of: program))
    }
}
