import Synchronization

/// What the reloader is to do. An order that waits is as good as many: each looks at how things are when it begins.
final class ReloadOrders: Sendable {
    enum Order: Hashable, Sendable {
        /// Read the options again.
        case reload
        /// Look at the addresses of this host.
        case followHost
        /// Look whether what leaves has left.
        case finishLeaving
    }

    /// One element for each time that there is something to take.
    let calls: AsyncStream<Void>
    private let caller: AsyncStream<Void>.Continuation
    private let waiting = Mutex<Set<Order>>([])

    init() {
        (calls, caller) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    }

    func post(_ order: Order) {
        waiting.withLock { _ = $0.insert(order) }
        caller.yield()
    }

    /// All orders that wait.
    func take() -> Set<Order> {
        waiting.withLock { waiting in
            defer { waiting = [] }
            return waiting
        }
    }
}
