import CBPF
import RelayWorker
import STUN
import Synchronization

/// What the monitor's thread does: the kernel's routes, neighbours, links and addresses change, and the program follows.
extension XDPSession {
    /// The relay has these addresses from now on. Where it has new ones, the program goes to the interfaces that carry
    /// them, unless the interfaces were named.
    public func follow(_ addresses: XDPAddresses) {
        state.withLock { state in
            guard addresses != state.addresses else { return }
            state.addresses = addresses
            state.table?.policy.relayAddresses = addresses.relayAddresses
            // Under the lock: a monitor that stands here has not been stopped.
            state.monitor?.lookAtInterfaces()
        }
    }

    /// Looks ways up again that a change may concern; nil: all of them. There may be many, and the last worker that leaves
    /// the plane waits for the end.
    ///
    /// - Parameter isStopping: whether nobody needs the rest any more.
    func followChange(of neighbours: Set<IPAddress>?, _ finder: inout WayFinder, isStopping: () -> Bool) {
        guard neighbours?.isEmpty != true else { return }
        // Before the ways are listed: one that is found from now on is found anew.
        if let neighbours {
            finder.forget(neighbours)
            state.withLock { $0.table?.finder.forget(neighbours) }
        } else {
            readTables(for: &finder)
        }
        let ways = state.withLock { $0.table?.waysConcerned(by: neighbours) ?? [] }
        for way in ways {
            guard !isStopping() else { return }
            let found = finder.find(way)
            state.withLock { $0.table?.update(way, found) }
        }
    }

    /// Lists routes and neighbours, which nobody waits for here, so that installing a route asks for few.
    private func readTables(for finder: inout WayFinder) {
        guard options.nextHop == .fib else { return }
        let classes = DestinationClasses.read()
        let neighbours = KnownNeighbours.read(on: finder.surroundings.interfaces.keys)
        finder.follow(classes)
        finder.follow(neighbours)
        state.withLock {
            $0.table?.finder.follow(classes)
            $0.table?.finder.follow(neighbours)
        }
    }

    /// Whether a route decides which interfaces have the program.
    var followsDefaultRoutes: Bool {
        options.interfaces.isEmpty && state.withLock { !$0.addresses.wildcardFamilies.isEmpty }
    }

    /// Reads interfaces and addresses again. The program goes to interfaces that carry an address of the relay by now, and
    /// to those of default routes where clients of a wildcard listener come in, unless the interfaces were named.
    func followInterfaces(_ finder: inout WayFinder) {
        var attached = state.withLock { $0.attachments.map(\.interface.index) }
        if options.interfaces.isEmpty { attached += attachToNewcomers(beside: attached) }
        followDepartures()
        followSurroundings(attachedTo: attached, &finder)
    }

    private func followSurroundings(attachedTo attached: [UInt32], _ finder: inout WayFinder) {
        // What could not be read is as it was: without a descriptor the host would seem to have nothing.
        guard let surroundings = try? Surroundings.read(attachedTo: attached), surroundings != finder.surroundings
        else { return }
        if surroundings.interfaces != finder.surroundings.interfaces { configure(surroundings) }
        finder.surroundings = surroundings
        state.withLock { $0.table?.finder.surroundings = surroundings }
    }

    /// An interface that refuses the program is served by the slow path.
    private func attachToNewcomers(beside attached: [UInt32]) -> [UInt32] {
        let addresses = state.withLock { $0.addresses }
        var added: [UInt32] = []
        var refusals: [String: PlaneError] = [:]
        for (interface, isOptional) in InterfaceChoice.others(addresses, beside: attached) {
            do throws(PlaneError) {
                try InterfaceChoice.check(interface, options)
                let attachment = try Attachment(program, to: interface, options.mode, isOptional: isOptional)
                if keep(attachment) { added.append(interface.index) }
            } catch {
                refusals[interface.name] = error
            }
        }
        note(refusals)
        return added
    }

    /// Whether the session runs, and has one attachment more.
    private func keep(_ attachment: Attachment) -> Bool {
        let isRunning = state.withLock { state in
            if state.table != nil { state.attachments.append(attachment) }
            return state.table != nil
        }
        if !isRunning { attachment.detach(program) }
        return isRunning
    }

    /// Interfaces are looked at with every change of the host; a reason is told once.
    private func note(_ refusals: [String: PlaneError]) {
        let news = state.withLock { state in
            let known = state.refusals
            state.refusals = refusals
            return refusals.filter { known[$0.key] != $0.value }
        }
        for (_, reason) in news.sorted(by: { $0.key < $1.key }) { onRefusal(reason) }
    }

    /// Looks whether the program is still where it was attached to.
    func checkAttachments() {
        for attachment in state.withLock({ $0.attachments }) {
            guard let fault = attachment.fault(program) else { continue }
            guard attachment.isOptional else { return state.withLock { $0.failure = $0.failure ?? fault } }
            state.withLock { state in
                state.attachments.removeAll { $0.interface.index == attachment.interface.index }
            }
            attachment.detach(program)
            onRefusal(fault)
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

    /// Looks for what the kernel does not tell of: a path's MTU, a redirect, an interface's MTU of IPv6.
    func followExceptions(_ finder: inout WayFinder, isStopping: () -> Bool) {
        let surroundings = finder.surroundings
        followSurroundings(attachedTo: state.withLock { $0.attachments.map(\.interface.index) }, &finder)
        guard options.nextHop == .fib else { return }
        let classes = DestinationClasses.read()
        // Where every destination is asked for, nothing tells which have changed.
        guard classes == nil || classes != finder.classes || surroundings != finder.surroundings else { return }
        followChange(of: nil, &finder, isStopping: isStopping)
    }

    /// Sets the clock of leases again, and has the kernel check the neighbours in use.
    func refresh(_ finder: WayFinder, isStopping: () -> Bool) {
        if let clock = try? LeaseClock.read(program) { state.withLock { $0.table?.clock = clock } }
        let neighbours = state.withLock { $0.table?.neighbours ?? [] }
        for neighbour in neighbours where !isStopping() {
            finder.use(neighbour.address, on: neighbour.interfaceIndex)
        }
    }
}
