import CBPF
import CRelayABI
import RelayCore
public import RelayWorker
import STUN
import Synchronization

/// The program in the kernel, its routes and its attachments: one for all workers of a relay.
///
/// Made by the probe, which loads the program; attached while a worker runs.
public final class XDPSession: Sendable {
    struct State: Sendable {
        var users = 0
        var table: RouteTable?
        var attachments: [Attachment] = []
        /// Why interfaces that came to carry an address of the relay have no program, by name.
        var refusals: [String: PlaneError] = [:]
        var monitor: ChangeMonitor?
        /// Why the program forwards no more, or not everywhere.
        var failure: PlaneError?
        /// As they are by now.
        var addresses: XDPAddresses
    }

    let options: XDPOptions
    let program: XDPProgram
    /// Told of each interface that refuses the program while it runs elsewhere; by the monitor's thread.
    let onRefusal: @Sendable (PlaneError) -> Void
    /// The interfaces that it starts with.
    private let interfaces: [NetworkInterface]
    private let hashSeed: UInt64
    let state: Mutex<State>
    /// Held while the program is attached or detached, over the end of the monitor's thread, which never takes it: a new
    /// life must not begin while the thread of the last one still works.
    private let lifecycle = Mutex(())

    /// Looks for interfaces, checks them, and has the kernel verify the program. Attaches nothing.
    ///
    /// - Parameter onRefusal: told once a reason of an interface that got an address of the relay and cannot have the
    ///   program: the slow path serves it.
    public convenience init(
        _ options: XDPOptions, onRefusal: @escaping @Sendable (PlaneError) -> Void = { _ in }
    ) throws(PlaneError) {
        try self.init(options, XDPProgram.Sizes(routes: options.routes), onRefusal: onRefusal)
    }

    init(
        _ options: XDPOptions, _ sizes: XDPProgram.Sizes, onRefusal: @escaping @Sendable (PlaneError) -> Void = { _ in }
    ) throws(PlaneError) {
        self.options = options
        self.onRefusal = onRefusal
        let addresses = XDPAddresses(options)
        state = Mutex(State(addresses: addresses))
        interfaces = try InterfaceChoice.choose(options, addresses)
        hashSeed = UInt64.random(in: 1 ... .max)
        let error = cbpf_wait_for_readers()
        guard error == 0 else {
            throw PlaneError(
                what: "membarrier, which tells when memory may be used again",
                why: String(systemErrorNumber: abs(error)),
                mend: "Start Linux without nohz_full, allow membarrier in the seccomp profile, or use another plane.")
        }
        program = try Privileges.exercise { () throws(PlaneError) in try XDPProgram(sizes: sizes) }
        // Loaded is loaded: it is attached, detached and attached again without them.
        Privileges.drop()
    }

    /// What the plane will do, for a person.
    public var promise: String {
        let attached = state.withLock { $0.attachments.map(\.interface) }
        let names = (attached.isEmpty ? interfaces : attached).map {
            "\($0.name) (\($0.driver.isEmpty ? "unknown driver" : $0.driver))"
        }
        let mode = options.mode == .auto ? "native, else generic" : options.mode.rawValue
        return "XDP on \(names.joined(separator: ", ")), \(mode), next hops by \(options.nextHop.rawValue), "
            + "\(options.routes) routes"
    }

    /// Attaches the program ahead of the workers, so that what only attaching can tell is known before they depend on
    /// it. Until a worker installs routes, it passes everything.
    public func prepare() throws(PlaneError) {
        try lifecycle.withLock { _ throws(PlaneError) in
            try state.withLock { state throws(PlaneError) in
                if state.attachments.isEmpty { try attach(&state) }
            }
        }
    }

    /// One more worker uses the session.
    func start() throws(PlaneError) {
        try lifecycle.withLock { _ throws(PlaneError) in
            try state.withLock { state throws(PlaneError) in
                if state.attachments.isEmpty { try attach(&state) }
                state.users += 1
            }
        }
    }

    /// One worker less; the last one detaches the program.
    func finish() {
        state.withLock { $0.users -= 1 }
        detachIfUnused()
    }

    /// Detaches a program that was prepared and that no worker uses.
    public func detachIfUnused() {
        lifecycle.withLock { _ in
            let monitor = state.withLock { $0.users == 0 ? $0.monitor.take() : nil }
            // Outside of the state's lock: its thread may be waiting for that.
            monitor?.stop()
            state.withLock { if $0.users == 0 { detach(&$0) } }
        }
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

    /// Why the program forwards no more; nothing while it does.
    var failure: PlaneError? { state.withLock { $0.failure } }

    private func attach(_ state: inout State) throws(PlaneError) {
        // As they are now: one may have been made anew since the program was loaded.
        let interfaces = try InterfaceChoice.choose(options, state.addresses)
        let surroundings = try Surroundings.read(attachedTo: interfaces.map(\.index))
        let finder = try WayFinder(surroundings, looksUp: options.nextHop == .fib)
        let policy = RouteTable.Policy(relayAddresses: state.addresses.relayAddresses, hashSeed: hashSeed)
        do throws(PlaneError) {
            let clock = try LeaseClock.read(program)
            state.table = RouteTable(program, policy: policy, finder: finder, clock: clock)
            configure(surroundings)
            for interface in interfaces {
                state.attachments.append(try Attachment(program, to: interface, options.mode))
            }
            // Once all programs are there: with its own a driver may begin to send.
            for (index, isDeparture) in Self.departures(of: state.attachments).enumerated() {
                try state.attachments[index].setDeparture(isDeparture, program)
            }
            state.monitor = try ChangeMonitor(self, finder)
        } catch {
            detach(&state)
            finder.close()
            throw error
        }
    }

    func configure(_ surroundings: Surroundings) {
        let interfaces = surroundings.interfaces.values
        var settings = relay_settings()
        settings.hash_seed = hashSeed
        settings.flags = (options.nextHop == .swap ? RELAY_SWAP_NEXT_HOP : RELAY_FIB_NEXT_HOP).rawValue
        if interfaces.contains(where: \.isVeth) { settings.flags |= RELAY_ALWAYS_REDIRECT.rawValue }
        settings.lowest_relay_port = options.relayPorts.lowerBound
        settings.highest_relay_port = options.relayPorts.upperBound
        settings.swap_mtu = UInt16(clamping: interfaces.map { min($0.mtu, $0.ipv6MTU) }.min() ?? 0)
        program.configure(settings)
    }

    private func detach(_ state: inout State) {
        program.disable()
        for attachment in state.attachments { attachment.detach(program) }
        state.attachments = []
        // The memory outlives the table: the next one begins with it.
        _ = cbpf_wait_for_readers()
        state.table?.clear()
        state.table = nil
        state.failure = nil
        state.refusals = [:]
    }

    // MARK: What others see

    public var statistics: XDPStatistics {
        state.withLock { state in
            XDPStatistics(
                routes: state.table?.routeCount ?? 0, waitingRoutes: state.table?.waitingCount ?? 0,
                refusedRoutes: state.table?.refusedCount ?? 0,
                attachments: state.attachments.map { "\($0.interface.name) \($0.mode.rawValue)" },
                refusals: state.refusals.sorted { $0.key < $1.key }.map(\.value),
                frames: FrameCount.all(of: program))
        }
    }

    /// Routes in the kernel whose lease is over: the slow path has them until they are renewed. Milliseconds of work
    /// where there are many, that hold up nobody.
    public var lapsedRouteCount: Int {
        guard let clock = state.withLock({ $0.table?.clock }) else { return 0 }
        // Each route is two entries.
        return (program.lapsedEntryCount(at: clock.lease(until: SystemClock.now().monotonic)) + 1) / 2
    }
}
