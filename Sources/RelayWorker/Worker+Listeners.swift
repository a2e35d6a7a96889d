public import RelayCore
public import STUN

/// A listener of a worker, from the day that its socket is taken in until it is closed.
@usableFromInline
struct WorkerListener {
    @usableFromInline
    enum Standing {
        /// The plane watches the socket, nobody is answered: all workers have to have it first.
        case waiting
        case open
        /// No new allocations; it closes when the last one of all workers has ended.
        case leaving
    }

    @usableFromInline let slot: SocketSlot
    @usableFromInline let address: TransportAddress
    @usableFromInline var standing: Standing
    /// False until the plane that runs watches it.
    @usableFromInline var isWatched: Bool

    init(slot: SocketSlot, address: TransportAddress, standing: Standing, isWatched: Bool) {
        self.slot = slot
        self.address = address
        self.standing = standing
        self.isWatched = isWatched
    }
}

/// Listeners that come and go while the worker relays. A change has two steps: every worker takes its sockets in and has
/// its plane watch them, then all are told to answer on them, or to give them up.
extension Worker {
    // MARK: Taking in

    /// Owns the sockets from now on; the plane has yet to watch them.
    /// - Returns: false if somebody has given them up meanwhile.
    mutating func takeIn(_ arriving: [ListenerSocket]) -> Bool {
        for socket in arriving {
            guard let descriptor = socket.take() else { return false }
            let role = SocketEntry.Role.listener(isWildcard: socket.address.ip.isUnspecified)
            let slot = sockets.insert(SocketEntry(descriptor: descriptor, role: role, local: socket.address))
            listeners.append(
                WorkerListener(slot: slot, address: socket.address, standing: .waiting, isWatched: false))
        }
        return true
    }

    /// Has the plane watch what was taken in. If it cannot watch one of them, none of them stays.
    @inlinable
    mutating func watchListeners<IO: DatagramIO & ~Copyable>(through io: inout IO) -> PlaneError? {
        for position in listeners.indices where !listeners[position].isWatched {
            do throws(PlaneError) {
                try io.attach(listeners[position].slot, of: sockets)
                listeners[position].isWatched = true
            } catch {
                giveUpWaiting()
                closeListeners(through: &io)
                return error
            }
        }
        return nil
    }

    /// Every plane watches all sockets when it starts.
    @usableFromInline
    mutating func noteAllWatched() {
        for position in listeners.indices { listeners[position].isWatched = true }
    }

    // MARK: Opening and leaving

    /// The listeners are these from now on: those that wait are answered on, those that are not named any more leave, and
    /// those that wait and are not named are given up.
    mutating func stand(_ addresses: [TransportAddress]) {
        for position in listeners.indices {
            let isNamed = addresses.contains(listeners[position].address)
            switch (listeners[position].standing, isNamed) {
            case (.waiting, true), (.leaving, true): open(position)
            case (.open, false): leave(position)
            case (.open, true), (.leaving, false), (.waiting, false): break
            }
        }
        giveUpWaiting()
    }

    private mutating func open(_ position: Int) {
        listeners[position].standing = .open
        for slot in answeringSlots(of: listeners[position]) { core.listen(on: slot, at: sockets[slot].local) }
    }

    private mutating func leave(_ position: Int) {
        listeners[position].standing = .leaving
        for slot in answeringSlots(of: listeners[position]) { core.leave(slot) }
    }

    /// The slots that clients talk to: a wildcard listener is nobody's server address, its vantages are.
    private func answeringSlots(of listener: WorkerListener) -> [SocketSlot] {
        sockets[listener.slot].role == .listener(isWildcard: true) ? vantages.slots(of: listener.slot) : [listener.slot]
    }

    func standing(of slot: SocketSlot) -> WorkerListener.Standing? {
        listeners.first { $0.slot == slot }?.standing
    }

    /// The allocations on each listener that leaves.
    func leavingListeners() -> [TransportAddress: Int] {
        listeners.reduce(into: [:]) { counts, listener in
            guard listener.standing == .leaving else { return }
            counts[listener.address] = allocationCount(on: listener)
        }
    }

    private func allocationCount(on listener: WorkerListener) -> Int {
        answeringSlots(of: listener).reduce(0) { $0 + core.allocationCount(on: $1) }
    }

    // MARK: Closing

    @usableFromInline
    mutating func giveUpWaiting() {
        closing += listeners.filter { $0.standing == .waiting }
        listeners.removeAll { $0.standing == .waiting }
    }

    /// These close before the turn ends, those among them that do not leave, or that somebody is still on, excepted.
    mutating func retire(_ addresses: [TransportAddress]) {
        let idle = listeners.filter {
            $0.standing == .leaving && addresses.contains($0.address) && allocationCount(on: $0) == 0
        }
        closing += idle
        listeners.removeAll { listener in idle.contains { $0.slot == listener.slot } }
    }

    @inlinable
    mutating func closeListeners<IO: DatagramIO & ~Copyable>(through io: inout IO) {
        for listener in closing {
            for slot in takeVantages(of: listener.slot) { io.detach(slot) }
            if listener.isWatched { io.detach(listener.slot) }
            discard(listener)
        }
        closing.removeAll()
    }

    /// The vantages of a listener, forgotten by the core; still in the set.
    @usableFromInline
    mutating func takeVantages(of listener: SocketSlot) -> [SocketSlot] {
        let slots = vantages.take(of: listener)
        for slot in slots { core.forget(slot) }
        return slots
    }

    @usableFromInline
    mutating func discard(_ listener: WorkerListener) {
        for slot in sockets.slots where sockets[slot].role == .vantage(of: listener.slot) { _ = sockets.remove(slot) }
        core.forget(listener.slot)
        close(listener.slot)
    }
}
