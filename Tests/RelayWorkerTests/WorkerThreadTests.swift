import Foundation
import RelayCore
import STUN
import Synchronization
import Testing

@testable import RelayWorker

/// One worker through several planes, and the thread that it lives on.
@Suite struct WorkerThreadTests {
    /// A plane that cannot start.
    private struct BrokenPlane: DataPlane {
        let name: String

        var error: PlaneError { PlaneError(what: name, why: "scripted", mend: "None needed") }

        func run(_ worker: inout Worker) throws(PlaneError) -> Departure { throw error }
    }

    private final class EventLog: Sendable {
        private let lines = Mutex<[String]>([])

        func add(_ event: WorkerEvent) {
            let line =
                switch event {
                case .started(let plane): "started \(plane)"
                case .failed(let plane, _): "failed \(plane)"
                case .ended(.stopped): "stopped"
                case .ended(.failed(let error)): "given up: \(error.what)"
                }
            lines.withLock { $0.append(line) }
        }

        var all: [String] { lines.withLock { $0 } }
    }

    /// A plane breaks down under traffic: the next one goes on with the same allocation, nothing is lost.
    @Test func aPlaneThatBreaksGivesWayWithoutLosingAnAllocation() throws {
        let rig = try Rig()
        let client = rig.client(1)
        let peer = SimulatedPeer(rig.world, at: .peer(1))
        client.demand(.allocate())
        client.demand(.bind(0x4000, peer.address)) {
            let flow = rig.world.payloads.open(to: peer.address, seenFrom: client.relayed ?? peer.address)
            for number in 0..<40 {
                rig.world.after(milliseconds: number) {
                    rig.world.payloads.expect(Payload(flow: flow, number: UInt32(number)))
                    client.send(Payload(flow: flow, number: UInt32(number)).bytes, channel: 0x4000)
                }
            }
            rig.world.after(milliseconds: 20) { rig.world.breaksDownAtStep = rig.world.steps + 1 }
            rig.world.after(milliseconds: 100) { rig.link.stop() }
        }
        let events = EventLog()
        var worker = try rig.relay.worker(link: rig.link)
        let next = SimulatedPlane(rig.world, rig.link, name: "next")
        let planes = PlaneOrder(BrokenPlane(name: "broken"), fallbacks: [rig.plane, next])
        #expect(worker.work(on: planes) { events.add($0) } == .stopped)
        #expect(
            events.all == [
                "failed broken", "started simulated", "failed simulated", "started next", "stopped",
            ])
        #expect(rig.world.payloads.arrivedCount == 40 && rig.world.payloads.unaccounted.isEmpty)
        #expect(rig.world.violations.isEmpty)
    }

    @Test func aSwapToAPlaneThatFailsFallsBackToTheOneBefore() throws {
        let rig = try Rig()
        let events = EventLog()
        rig.world.after(milliseconds: 1) {
            rig.link.swap(to: PlaneOrder(BrokenPlane(name: "new"), fallbacks: [rig.plane]))
        }
        rig.world.after(milliseconds: 2) { rig.link.stop() }
        var worker = try rig.relay.worker(link: rig.link)
        #expect(worker.work(on: PlaneOrder(rig.plane)) { events.add($0) } == .stopped)
        #expect(events.all == ["started simulated", "failed new", "started simulated", "stopped"])
        #expect(rig.plane.runs == 2)
    }

    @Test func whenThePlanesRunOutTheLastErrorIsReported() throws {
        let rig = try Rig()
        let events = EventLog()
        var worker = try rig.relay.worker(link: rig.link)
        let planes = [BrokenPlane(name: "one"), BrokenPlane(name: "two")]
        let order = PlaneOrder(planes[0], fallbacks: [planes[1]])
        #expect(worker.work(on: order) { events.add($0) } == .failed(planes[1].error))
        #expect(events.all == ["failed one", "failed two", "given up: two"])
    }

    @Test func aPlaneThatMustStartAndCannotEndsTheWorker() throws {
        let rig = try Rig()
        let events = EventLog()
        var worker = try rig.relay.worker(link: rig.link)
        let asked = BrokenPlane(name: "asked for")
        let order = PlaneOrder(asked, fallbacks: [rig.plane])
        #expect(worker.work(on: order, mustStart: true) { events.add($0) } == .failed(asked.error))
        #expect(events.all == ["failed asked for", "given up: asked for"])
        #expect(rig.plane.runs == 0)
    }

    @Test func aPlaneThatMustStartGivesWayOnceItHasStarted() throws {
        let rig = try Rig()
        let events = EventLog()
        rig.world.after(milliseconds: 20) { rig.world.breaksDownAtStep = rig.world.steps + 1 }
        let client = rig.client(1)
        for milliseconds in [30, 40] {
            rig.world.after(milliseconds: milliseconds) {
                client.transmit(client.encode(.binding, client.newTransactionID()))
            }
        }
        rig.world.after(milliseconds: 100) { rig.link.stop() }
        let next = SimulatedPlane(rig.world, rig.link, name: "next")
        var worker = try rig.relay.worker(link: rig.link)
        let order = PlaneOrder(rig.plane, fallbacks: [next])
        #expect(worker.work(on: order, mustStart: true) { events.add($0) } == .stopped)
        #expect(events.all == ["started simulated", "failed simulated", "started next", "stopped"])
    }

    /// A plane that tells what thread it runs on.
    private final class CuriousPlane: DataPlane {
        let name = "curious"
        let found = Mutex(("", ""))

        func run(_ worker: inout Worker) throws(PlaneError) -> Departure {
            found.withLock { $0 = (Self.threadName, Self.threadCPUs) }
            return .stopped
        }

        static var threadName: String { read("comm").trimmingCharacters(in: .whitespacesAndNewlines) }

        /// As the kernel lists them: `0-3,7`.
        static var threadCPUs: String {
            let label = "Cpus_allowed_list:"
            let line = read("status").split(separator: "\n").first { $0.hasPrefix(label) }
            return line?.dropFirst(label.count).trimmingCharacters(in: .whitespaces) ?? ""
        }

        private static func read(_ name: String) -> String {
            (try? String(contentsOfFile: "/proc/thread-self/\(name)", encoding: .utf8)) ?? ""
        }
    }

    @Test func aThreadHasItsNameAndItsCPU() throws {
        let rig = try Rig()
        let events = EventLog()
        let plane = CuriousPlane()
        let cpu = try #require(Int(CuriousPlane.threadCPUs.prefix(while: \.isNumber)))
        let thread = try WorkerThread(rig.relay.worker(link: rig.link), number: 3, cpu: cpu, planes: PlaneOrder(plane))
        {
            events.add($0)
        }
        thread.join()
        #expect(plane.found.withLock { $0 } == ("relay-3", String(cpu)))
        #expect(events.all == ["stopped"])
        #expect(rig.world.sockets.open.isEmpty, "the worker is gone with its thread")
    }

    @Test func aThreadThatCannotStartIsAnErrorAndClosesTheWorkersSockets() throws {
        let rig = try Rig()
        let events = EventLog()
        #expect(throws: PlaneError.self) {
            try WorkerThread(rig.relay.worker(link: rig.link), number: 0, cpu: 100_000, planes: PlaneOrder(rig.plane)) {
                events.add($0)
            }
        }
        #expect(events.all.isEmpty)
        #expect(rig.world.sockets.open.isEmpty && rig.world.sockets.violations.isEmpty)
    }

    /// The whole way: a relay on its own thread serves until it is told to stop.
    @Test func aWorkerServesOnItsThread() throws {
        let rig = try Rig()
        let events = EventLog()
        rig.client(1).demand(.allocate()) { rig.link.stop() }
        let thread = try WorkerThread(rig.relay.worker(link: rig.link), number: 0, planes: PlaneOrder(rig.plane)) {
            events.add($0)
        }
        thread.join()
        #expect(events.all == ["started simulated", "stopped"])
        #expect(rig.relay.notes.ended.map(\.reason) == [.stopped])
        rig.expectNoProblems()
    }
}
