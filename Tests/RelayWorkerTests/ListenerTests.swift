import RelayCore
import STUN
import Synchronization
import TestSeed
import Testing

@testable import RelayWorker

/// Listeners that come and go while a worker relays.
@Suite struct ListenerTests {
    private static let second = TransportAddress(IPAddress(v4: 0xC633_6403), port: 3479)
    private static let third = TransportAddress(IPAddress(v4: 0xC633_6404), port: 3480)
    private static let wildcard = TransportAddress(IPAddress(v4: 0), port: 3481)

    /// What became of handing sockets over: nothing yet, nothing wrong, or a refusal.
    private final class Outcome: Sendable {
        private let answers = Mutex<[WorkerAnswer?]>([])

        func add(_ answer: WorkerAnswer?) { answers.withLock { $0.append(answer) } }

        var isTaken: Bool { if case .takenIn(refusal: nil)?? = answers.withLock({ $0.last }) { true } else { false } }

        var refusal: PlaneError? {
            if case .takenIn(let refusal)?? = answers.withLock({ $0.last }) { refusal } else { nil }
        }

        var leaving: [TransportAddress: Int]? {
            if case .leavingListeners(let counts)?? = answers.withLock({ $0.last }) { counts } else { nil }
        }
    }

    @discardableResult
    private func handOver(_ addresses: [TransportAddress], to rig: Rig) -> Outcome {
        let outcome = Outcome()
        do {
            let sockets = try addresses.map { try ListenerSocket(at: $0, rig.world.sockets) }
            #expect(rig.link.post(Inquiry(.takeIn(sockets)) { outcome.add($0) }))
        } catch {
            rig.world.violate("\(error)")
        }
        return outcome
    }

    private func ask(_ rig: Rig) -> Outcome {
        let outcome = Outcome()
        #expect(rig.link.post(Inquiry(.leavingListeners) { outcome.add($0) }))
        return outcome
    }

    private func expectTheCall(in rig: Rig, _ location: SourceLocation = #_sourceLocation) {
        #expect(rig.world.payloads.arrivedCount == 200, sourceLocation: location)
        #expect(rig.world.payloads.unaccounted.isEmpty, sourceLocation: location)
        rig.expectNoProblems(location)
    }

    @Test func aListenerIsDarkUntilItIsOpenedAndDisturbsNobody() throws {
        let rig = try Rig()
        let late = rig.client(2, of: Self.second)
        let configuration = rig.relay.configuration
        rig.call(100) {
            let outcome = handOver([Self.second], to: rig)
            rig.world.after(milliseconds: 10) { late.demand(.allocate()) }
            rig.world.after(milliseconds: 50) {
                #expect(outcome.isTaken)
                #expect(late.answers.isEmpty, "nobody is answered before all workers have the listener")
                rig.link.reconfigure(configuration, listeners: [SimulatedRelay.listener, Self.second])
            }
            rig.world.after(milliseconds: 400) { rig.link.stop() }
        }
        try rig.run()
        #expect(late.relayed != nil, "the retransmission is answered")
        #expect(rig.link.snapshot.core[.noAllocation] == 1)
        #expect(Set(rig.relay.notes.ended.map(\.summary.server)) == [SimulatedRelay.listener, Self.second])
        expectTheCall(in: rig)
    }

    @Test func aListenerThatThePlaneCannotWatchTakesTheOthersAlong() throws {
        let rig = try Rig()
        rig.world.refusesAttach = { $0.local == Self.third }
        rig.call(100) {
            let before = rig.world.sockets.open.count
            let outcome = handOver([Self.second, Self.third, Self.wildcard], to: rig)
            rig.world.after(milliseconds: 20) {
                #expect(outcome.refusal?.what == "attach")
                #expect(rig.world.sockets.open.count == before)
                // Its slots go to others.
                rig.world.refusesAttach = { _ in false }
                let again = handOver([Self.second, Self.third], to: rig)
                rig.world.after(milliseconds: 20) {
                    #expect(again.isTaken)
                    rig.link.stop()
                }
            }
            rig.world.after(milliseconds: 150) { rig.link.stop() }
        }
        try rig.run()
        rig.expectNoProblems()
    }

    @Test func whatIsGivenUpIsClosed() throws {
        let rig = try Rig()
        rig.call(100) {
            let before = rig.world.sockets.open.count
            let outcome = handOver([Self.second, Self.wildcard], to: rig)
            rig.world.after(milliseconds: 20) {
                #expect(outcome.isTaken && rig.world.sockets.open.count == before + 2)
                rig.link.giveUpListeners()
                let asked = ask(rig)
                rig.world.after(milliseconds: 10) {
                    #expect(asked.leaving == [:])
                    #expect(rig.world.sockets.open.count == before)
                }
            }
            rig.world.after(milliseconds: 150) { rig.link.stop() }
        }
        try rig.run()
        expectTheCall(in: rig)
    }

    @Test func whatNobodyAwaitsAnyMoreIsNotTaken() throws {
        let rig = try Rig()
        rig.call(100) {
            let before = rig.world.sockets.open.count
            do {
                let inquiry = Inquiry(.takeIn([try ListenerSocket(at: Self.second, rig.world.sockets)])) { _ in }
                inquiry.answer(nil)
                #expect(rig.link.post(inquiry))
            } catch {
                rig.world.violate("\(error)")
            }
            rig.world.after(milliseconds: 20) { #expect(rig.world.sockets.open.count == before) }
            rig.world.after(milliseconds: 150) { rig.link.stop() }
        }
        try rig.run()
        expectTheCall(in: rig)
    }

    @Test func aListenerLeavesWithItsLastAllocation() throws {
        let rig = try Rig()
        let (old, new) = (rig.client(1, of: Self.second), rig.client(2, of: Self.second))
        let configuration = rig.relay.configuration
        var errors: [UInt16?] = []
        old.demand(.allocate()) {
            let before = rig.world.sockets.open.count
            rig.link.reconfigure(configuration, listeners: [SimulatedRelay.listener])
            rig.link.closeListeners([Self.second])
            let asked = ask(rig)
            rig.world.after(milliseconds: 20) {
                #expect(asked.leaving == [Self.second: 1])
                #expect(rig.world.sockets.open.count == before, "somebody is on it")
                new.request(.allocate()) { answer in
                    errors.append(answer.error)
                    old.demand(.refresh(lifetimeSeconds: 600))
                    old.demand(.refresh(lifetimeSeconds: 0)) {
                        let asked = ask(rig)
                        // The other one is open: it does not close, whoever asks.
                        rig.link.closeListeners([Self.second, SimulatedRelay.listener])
                        rig.world.after(milliseconds: 20) {
                            #expect(asked.leaving == [Self.second: 0] || asked.leaving == [:])
                            #expect(rig.world.sockets.open.values.map(\.local) == [SimulatedRelay.listener])
                            rig.link.stop()
                        }
                    }
                }
            }
        }
        try rig.run(listeners: [SimulatedRelay.listener, Self.second])
        #expect(errors == [508])
        #expect(rig.relay.notes.ended.map(\.reason) == [.released])
        rig.expectNoProblems()
    }

    @Test func aListenerThatLeavesMayStay() throws {
        let rig = try Rig()
        let (old, new) = (rig.client(1, of: Self.second), rig.client(2, of: Self.second))
        let configuration = rig.relay.configuration
        old.demand(.allocate()) {
            rig.link.reconfigure(configuration, listeners: [SimulatedRelay.listener])
            rig.link.reconfigure(configuration, listeners: [SimulatedRelay.listener, Self.second])
            rig.link.closeListeners([Self.second])
            rig.world.after(milliseconds: 20) { new.demand(.allocate()) { rig.link.stop() } }
        }
        try rig.run(listeners: [SimulatedRelay.listener, Self.second])
        #expect(new.relayed != nil)
        rig.expectNoProblems()
    }

    @Test func aWildcardListenerComesAndGoesWithItsLocalAddresses() throws {
        let rig = try Rig()
        func server(_ number: UInt32) -> TransportAddress {
            TransportAddress(IPAddress(v4: 0x7F00_0001 + number), port: Self.wildcard.port)
        }
        let (old, other, new) = (
            rig.client(1, of: server(0)), rig.client(2, of: server(1)), rig.client(3, of: server(2))
        )
        let configuration = rig.relay.configuration
        var errors: [UInt16?] = []
        func leave() {
            rig.link.reconfigure(configuration, listeners: [SimulatedRelay.listener])
            rig.world.after(milliseconds: 10) {
                // On an address that it was not asked at before, and on one that it was.
                new.request(.allocate()) { errors.append($0.error) }
                other.demand(.refresh(lifetimeSeconds: 0))
                other.request(.allocate()) { errors.append($0.error) }
                old.demand(.refresh(lifetimeSeconds: 0))
            }
            rig.world.after(milliseconds: 100) {
                rig.link.closeListeners([Self.wildcard])
                rig.world.after(milliseconds: 20) {
                    #expect(rig.world.sockets.open.count == 1)
                    rig.link.stop()
                }
            }
        }
        let outcome = handOver([Self.wildcard], to: rig)
        rig.world.after(milliseconds: 10) { old.transmit(old.encode(.binding, old.newTransactionID())) }
        rig.world.after(milliseconds: 20) {
            #expect(outcome.isTaken && old.answers.isEmpty)
            rig.link.reconfigure(configuration, listeners: [SimulatedRelay.listener, Self.wildcard])
            rig.world.after(milliseconds: 10) { old.demand(.allocate()) { other.demand(.allocate(), then: leave) } }
        }
        try rig.run()
        #expect(errors == [508, 508])
        #expect(rig.link.snapshot.core[.unanswerable] == 1)
        #expect(rig.relay.notes.ended.map(\.reason) == [.released, .released])
        rig.expectNoProblems()
    }

    @Test func anotherPlaneHasTheNewListenersToo() throws {
        let rig = try Rig()
        let second = SimulatedPlane(rig.world, rig.link, name: "second")
        let late = rig.client(2, of: Self.second)
        let configuration = rig.relay.configuration
        // All in one turn: taken in by the plane that leaves.
        handOver([Self.second], to: rig)
        rig.link.swap(to: PlaneOrder(second))
        rig.world.after(milliseconds: 20) {
            rig.link.reconfigure(configuration, listeners: [SimulatedRelay.listener, Self.second])
            rig.world.after(milliseconds: 10) { late.demand(.allocate()) { rig.link.stop() } }
        }
        var worker = try rig.relay.worker(link: rig.link)
        #expect(worker.work(on: PlaneOrder(rig.plane)) { _ in } == .stopped)
        #expect(second.runs == 1 && late.relayed != nil)
        #expect(rig.world.violations.isEmpty && rig.world.sockets.violations.isEmpty)
    }

    /// Listeners come, go, and come back at random, and clients with them; one call goes on through all of it.
    @Test func aStormOfChangesLeavesNothingBehind() throws {
        let rig = try Rig()
        var generator = SeededGenerator(seed: rig.seed)
        let configuration = rig.relay.configuration
        let all = (0..<5).map { TransportAddress(IPAddress(v4: 0xC633_6500), port: UInt16(4000 + $0)) }
        let clients = all.enumerated().map { rig.client(10 + $0.offset, of: $0.element) }
        var had: Set<TransportAddress> = []
        rig.call(100) {
            for step in 0..<80 {
                let wanted = all.filter { _ in generator.chance(50) }
                let refused = generator.chance(20)
                let visitor = generator.pick(0...clients.count - 1)
                rig.world.after(milliseconds: 10 * step) {
                    rig.world.refusesAttach = { refused && $0.role == .listener(isWildcard: false) }
                    let outcome = handOver(wanted.filter { !had.contains($0) }, to: rig)
                    rig.world.after(milliseconds: 4) {
                        if outcome.isTaken {
                            rig.link.reconfigure(configuration, listeners: [SimulatedRelay.listener] + wanted)
                            had.formUnion(wanted)
                        } else {
                            rig.link.giveUpListeners()
                        }
                        clients[visitor].request(.allocate()) { _ in
                            clients[visitor].request(.refresh(lifetimeSeconds: 0))
                        }
                        let gone = all.filter { had.contains($0) && !wanted.contains($0) && outcome.isTaken }
                        let asked = ask(rig)
                        rig.world.after(milliseconds: 3) {
                            let idle = gone.filter { asked.leaving?[$0] == 0 }
                            rig.link.closeListeners(idle)
                            had.subtract(idle)
                        }
                    }
                }
            }
            rig.world.after(milliseconds: 1000) {
                let open = rig.world.sockets.open.values.filter(\.isListener).map(\.local)
                #expect(Set(open) == had.union([SimulatedRelay.listener]), "RELAYD_TEST_SEED=\(rig.seed)")
                #expect(open.count == had.count + 1)
                rig.link.stop()
            }
        }
        try rig.run()
        expectTheCall(in: rig)
    }
}
