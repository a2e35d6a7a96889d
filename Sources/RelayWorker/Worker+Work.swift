internal import RelayCore

/// What befalls a worker, for whoever supervises it.
public enum WorkerEvent: Sendable {
    /// A plane watches all of the worker's sockets and relays.
    case started(plane: String)
    /// A plane could not start or go on; the worker has kept all that it had.
    case failed(plane: String, PlaneError)
    /// The worker does nothing any more.
    case ended(WorkerEnding)
}

/// How a worker's work ended.
public enum WorkerEnding: Sendable, Equatable {
    /// It was told to stop, and ended its allocations.
    case stopped
    /// The last of its planes failed.
    case failed(PlaneError)
}

extension Worker {
    /// Runs planes until the worker is told to stop, or until none is left.
    ///
    /// A plane that fails is not tried again: the next one of the order goes on with the same sockets and allocations,
    /// until a letter brings another order.
    ///
    /// - Parameters:
    ///   - order: the plane to run, and those to fall back to.
    ///   - mustStart: the first plane was asked for by name: if it cannot start, none takes over. One that has started
    ///     and fails later gives way all the same.
    ///   - tell: called on this thread, a few times in a plane's life.
    public mutating func work(
        on order: PlaneOrder, mustStart: Bool = false, tell: @escaping (WorkerEvent) -> Void
    ) -> WorkerEnding {
        var order = order
        var isStarted = false
        while true {
            let plane = order.first
            onStart = {
                isStarted = true
                tell(.started(plane: plane.name))
            }
            defer { onStart = nil }
            core.carry(by: plane.slowPathName, offload: plane.name == plane.slowPathName ? nil : plane.name)
            link.enter(plane, core: core.counters, offloaded: offloaded, turns: turns)
            do throws(PlaneError) {
                switch try plane.run(&self) {
                case .stopped:
                    tell(.ended(.stopped))
                    return .stopped
                case .swap(let next): order = next
                }
            } catch {
                tell(.failed(plane: plane.name, error))
                guard isStarted || !mustStart, let next = order.withoutFirst else {
                    tell(.ended(.failed(error)))
                    return .failed(error)
                }
                order = next
            }
        }
    }

    /// Every socket of the worker is watched by the plane that runs now.
    @usableFromInline
    func announceStart() { onStart?() }
}
