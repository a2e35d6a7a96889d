import Glibc
import PlaneTestKit
import RelayCore
import RelayWorker
import Synchronization
import Testing

/// Signals interrupt the calls of a plane's thread; nothing may be lost by that, and no wait may fail.
@Suite(.serialized) struct SignalTests {
    private static let count = 400

    @Test(arguments: PlaneUnderTest.usable)
    func aThreadThatIsInterruptedAllTheTimeLosesNothing(_ plane: PlaneUnderTest) throws {
        var action = sigaction()
        // Without SA_RESTART, and a handler that does nothing.
        action.__sigaction_handler.sa_handler = { _ in }
        #expect(sigaction(SIGURG, &action, nil) == 0)
        let relay = try TestRelay(plane)
        let slot = try relay.openRelay(at: "127.0.0.1")
        let peer = try TestSocket()
        let interrupter = Interrupter(of: pthread_self())
        defer { interrupter.stop() }
        var seen = 0
        for number in 0..<Self.count {
            // Waits that end by a datagram, and waits that end by nothing but signals and the deadline.
            if number % 4 != 0 { peer.send([1, 2], to: relay.address(of: slot)) }
            let count = try relay.io.receive(until: relay.io.now().monotonic.advanced(byMilliseconds: 3))
            seen += count
            for index in 0..<count {
                #expect(relay.io.payload(index) == [1, 2])
                relay.io.release(index)
            }
            relay.io.send(([3] as [UInt8]).span.bytes, from: slot, to: peer.address, dontFragment: false)
            try relay.io.flush()
        }
        seen += try drain(relay)
        #expect(seen == Self.count * 3 / 4)
        #expect(peer.receiveAll().count == Self.count)
        #expect(interrupter.sentCount > 20)
    }

    private func drain(_ relay: TestRelay) throws -> Int {
        var seen = 0
        for _ in 0..<20 {
            let count = try relay.io.receive(until: relay.io.now().monotonic.advanced(byMilliseconds: 3))
            for index in 0..<count { relay.io.release(index) }
            seen += count
        }
        return seen
    }
}

/// Sends a signal to one thread every half a millisecond, from a thread of its own.
private final class Interrupter: Sendable {
    private let isStopped = Atomic(false)
    private let count = Atomic(0)
    private let target: pthread_t
    private let thread = Mutex<pthread_t>(0)

    init(of target: pthread_t) {
        self.target = target
        thread.withLock { thread in
            let started = pthread_create(
                &thread, nil,
                { context in
                    guard let context else { return nil }
                    Unmanaged<Interrupter>.fromOpaque(context).takeRetainedValue().run()
                    return nil
                }, Unmanaged.passRetained(self).toOpaque())
            precondition(started == 0)
        }
    }

    var sentCount: Int { count.load(ordering: .relaxed) }

    func stop() {
        isStopped.store(true, ordering: .relaxed)
        thread.withLock { _ = pthread_join($0, nil) }
    }

    private func run() {
        while !isStopped.load(ordering: .relaxed) {
            pthread_kill(target, SIGURG)
            count.add(1, ordering: .relaxed)
            usleep(500)
        }
    }
}
