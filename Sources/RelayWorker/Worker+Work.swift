/// What befalls a worker, for whoever supervises it.
public enum WorkerEvent: Sendable {
    /// A plane takes over.
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
    /// A plane that fails is not tried again: the next one of the list goes on with the same sockets and allocations.
    /// When the worker is told to go on with another plane, the one that it leaves is the first to fall back to.
    ///
    /// - Parameters:
    ///   - planes: the first to run, then those to fall back to, in order. At least one.
    ///   - tell: called on this thread, a few times in a plane's life.
    public mutating func work(on planes: [any DataPlane], tell: (WorkerEvent) -> Void) -> WorkerEnding {
        precondition(!planes.isEmpty, "a worker without a plane")
        var current = planes[0]
        var fallbacks = planes.dropFirst()
        while true {
            tell(.started(plane: current.name))
            do throws(PlaneError) {
                switch try current.run(&self) {
                case .stopped:
                    tell(.ended(.stopped))
                    return .stopped
                case .swap(let next):
                    fallbacks = [current] + fallbacks
                    current = next
                }
            } catch {
                tell(.failed(plane: current.name, error))
                guard let next = fallbacks.popFirst() else {
                    tell(.ended(.failed(error)))
                    return .failed(error)
                }
                current = next
            }
        }
    }
}
