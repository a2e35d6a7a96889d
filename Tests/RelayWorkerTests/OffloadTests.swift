import RelayCore
import STUN
import Testing

@testable import RelayWorker

/// A plane that forwards by itself, seen from the worker.
@Suite struct OffloadTests {
    private final class Script {
        let rig: Rig
        let offload: SimulatedOffload
        let client: SimulatedClient
        let peer: SimulatedPeer
        var events: [String] = []

        init() throws {
            rig = try Rig()
            offload = SimulatedOffload(rig.world)
            client = rig.client(1)
            peer = SimulatedPeer(rig.world, at: .peer(1))
        }

        /// A client with a channel; then what the test wants.
        func begin(then: @escaping () -> Void) {
            client.demand(.allocate())
            client.demand(.bind(0x4000, peer.address), then: then)
        }

        func work(fallback: [any DataPlane] = []) throws -> WorkerEnding {
            var worker = try rig.relay.worker(link: rig.link)
            let plane = OffloadingPlane(below: rig.plane, offload: offload)
            return worker.work(on: PlaneOrder(plane, fallbacks: fallback)) { event in
                switch event {
                case .started(let plane): self.events.append("started \(plane)")
                case .failed(let plane, let error): self.events.append("failed \(plane): \(error.what)")
                case .ended: break
                }
            }
        }

        func stop(afterMilliseconds milliseconds: Int) {
            rig.world.after(milliseconds: milliseconds) { self.rig.link.stop() }
        }
    }

    @Test func routesAreThereBeforeTheAnswerAndGoneAtTheEnd() throws {
        let script = try Script()
        script.begin {
            #expect(script.offload.routes.count == 1)
            script.client.demand(.refresh(lifetimeSeconds: 0)) {
                #expect(script.offload.routes.isEmpty)
                script.client.demand(.allocate())
                script.client.demand(.bind(0x4000, script.peer.address)) { script.rig.link.stop() }
            }
        }
        #expect(try script.work() == .stopped)
        #expect(script.offload.routes.isEmpty && script.offload.reconciliations == 0)
        script.rig.expectNoProblems()
    }

    /// The offload breaks down under traffic: within a second the next plane goes on with the same allocation, and
    /// nothing is lost.
    @Test func aPlaneWhoseOffloadFailsGivesWayWithoutLosingAnAllocation() throws {
        let script = try Script()
        let world = script.rig.world
        script.begin {
            let relayed = script.client.relayed ?? script.peer.address
            let flow = world.payloads.open(to: script.peer.address, seenFrom: relayed)
            for number in 0..<300 {
                world.after(milliseconds: 10 * number) {
                    world.payloads.expect(Payload(flow: flow, number: UInt32(number)))
                    script.client.send(Payload(flow: flow, number: UInt32(number)).bytes, channel: 0x4000)
                }
            }
            world.after(milliseconds: 1500) {
                script.offload.failure = PlaneError(what: "detached", why: "scripted", mend: "None needed")
            }
            script.stop(afterMilliseconds: 3100)
        }
        let next = SimulatedPlane(world, script.rig.link, name: "next")
        #expect(try script.work(fallback: [next]) == .stopped)
        #expect(script.events == ["started offloading", "failed offloading: detached", "started next"])
        #expect(world.payloads.arrivedCount == 300 && world.payloads.unaccounted.isEmpty)
        #expect(script.rig.relay.notes.ended.map(\.reason) == [.stopped])
        #expect(script.offload.routes.isEmpty)
        #expect(world.violations.isEmpty)
    }

    @Test func withoutAnotherPlaneTheFailureIsTheEnd() throws {
        let script = try Script()
        let failure = PlaneError(what: "detached", why: "scripted", mend: "None needed")
        script.begin { script.offload.failure = failure }
        #expect(try script.work() == .failed(failure))
    }

    /// A second's traffic is collected each second; the rest of it when a route ends, in time for the record.
    @Test(arguments: [AllocationEnd.released, .stopped, .kicked, .expired])
    func theRecordOfAnAllocationHasAllThatWasCarried(_ end: AllocationEnd) throws {
        let script = try Script()
        let world = script.rig.world
        script.begin {
            world.after(milliseconds: 1700) { script.offload.carry(packets: 3) }
            // The tick at 2 s takes those; the rest is carried until the end, whose time no tick meets.
            world.after(milliseconds: 2700) { script.offload.carry(packets: 4) }
            switch end {
            case .released:
                world.after(milliseconds: 2800) {
                    script.client.demand(.refresh(lifetimeSeconds: 0)) { script.rig.link.stop() }
                }
            case .stopped: script.stop(afterMilliseconds: 2800)
            case .kicked:
                world.after(milliseconds: 2800) {
                    _ = script.rig.link.post(Inquiry(.kickAll(from: 0, SessionFilter())) { _ in })
                }
                script.stop(afterMilliseconds: 2900)
            case .expired:
                // The permission, and with it the route, ends after 300 s; the allocation after 600 s.
                script.stop(afterMilliseconds: 700_000)
            }
        }
        #expect(try script.work() == .stopped)
        let record = script.rig.relay.notes.ended.first
        #expect(record?.reason == end)
        #expect(record?.traffic.packetsToPeers == 7 && record?.traffic.bytesToPeers == 70)
        #expect(script.rig.link.snapshot.core.channelTraffic.packetsToPeers == 7)
        script.rig.expectNoProblems()
    }

    /// What the last routes of one allocation carried is not in the record of another.
    @Test func eachRecordHasItsOwn() throws {
        let script = try Script()
        let other = script.rig.client(2)
        script.begin {
            script.offload.carry(packets: 5)
            other.demand(.allocate())
            other.demand(.bind(0x4001, .peer(2))) {
                script.offload.carry(packets: 1)
                script.client.demand(.refresh(lifetimeSeconds: 0)) {
                    script.offload.carry(packets: 1)
                    script.rig.link.stop()
                }
            }
        }
        #expect(try script.work() == .stopped)
        #expect(script.rig.relay.notes.ended.map(\.traffic.packetsToPeers) == [6, 2])
    }

    /// The permission of a channel ends after 300 s and takes the route along; a binding in time moves the lease, and one
    /// after the end puts the route back.
    @Test func aRefreshAfterTheEndPutsTheRouteBack() throws {
        let script = try Script()
        let world = script.rig.world
        var lease: Instant?
        script.begin {
            lease = script.offload.routes.values.first?.until
            world.after(milliseconds: 200_000) {
                script.client.demand(.bind(0x4000, script.peer.address)) {
                    let renewed = script.offload.routes.values.first?.until
                    #expect(lease.flatMap { before in renewed.map { before < $0 } } == true)
                }
            }
            world.after(milliseconds: 499_000) { #expect(script.offload.routes.count == 1) }
            world.after(milliseconds: 501_000) {
                #expect(script.offload.routes.isEmpty)
                script.client.demand(.bind(0x4000, script.peer.address)) {
                    #expect(script.offload.routes.count == 1)
                    script.rig.link.stop()
                }
            }
        }
        #expect(try script.work() == .stopped)
        script.rig.expectNoProblems()
    }

    @Test(arguments: [true, false])
    func lostRoutesAreInstalledAgain(_ isNoticed: Bool) throws {
        let script = try Script()
        script.begin {
            guard let id = script.offload.routes.keys.first else { return script.rig.world.violate("no route") }
            script.rig.world.after(milliseconds: 100) {
                // Fewer routes than channels are noticed by their number, anything else by the offload.
                if isNoticed { script.offload.isInDoubt = true } else { script.offload.lose(id) }
            }
            script.rig.world.after(milliseconds: 1300) {
                #expect(script.offload.routes.count == 1 && script.offload.reconciliations == 1)
            }
            script.stop(afterMilliseconds: 3300)
        }
        #expect(try script.work() == .stopped)
        #expect(script.offload.reconciliations == 1)
        script.rig.expectNoProblems()
    }
}
