import STUN
import Testing

@testable import RelayCore

@Suite("Expiry")
struct ExpiryTests {
    @Test("the deadline is never after the next end, and there is none when nothing lives")
    func deadline() {
        let relay = Relay(.onePort)
        #expect(relay.core.deadline == nil)
        let client = Client.greeted(relay, "198.51.100.1:5000")
        client.allocate()
        client.bind(0x4000, to: "192.0.2.9:1")
        var ends: [Instant] = []
        for _ in 0..<10 {
            guard let deadline = relay.core.deadline else { break }
            #expect(deadline > relay.now)
            relay.now = deadline
            if !relay.expire().isEmpty { ends.append(deadline) }
        }
        #expect(relay.core.deadline == nil)
        #expect(relay.isEmpty)
        let late = zip(ends, [300, 600] as [UInt32]).map { end, due in
            end.nanoseconds - Relay.start.advanced(bySeconds: due).nanoseconds
        }
        #expect(ends.count == 2)
        #expect(late.allSatisfy { $0 < 256_000_000 })
    }

    @Test("a mass expiry is done in portions; the deadline says that there is more")
    func budget() {
        let relay = Relay(
            .script.with {
                $0.relayPorts = 40_000...49_999
                $0.allocationsPerUser = 0
                $0.unauthenticatedRate = 0
            })
        for port in UInt16(1)...1500 {
            Client.greeted(relay, TransportAddress(ip("198.51.100.1"), port: port)).allocate()
        }
        relay.now = relay.now.advanced(bySeconds: 601)
        var effects = Effects()
        relay.core.expire(at: relay.moment, into: &effects)
        #expect(relay.core.counters.allocations == 1500 - UInt64(RelayCore.expiryBudget))
        #expect(relay.core.deadline.map { $0 <= relay.now } == true)
        relay.core.expire(at: relay.moment, into: &effects)
        #expect(relay.core.counters.allocations == 0)
        #expect(relay.core.deadline == nil)
    }

    @Test("an hour of silence ends everything at once, in the right order")
    func longJump() {
        let relay = Relay(.onePair)
        let client = Client.greeted(relay, "198.51.100.1:5000")
        client.allocate(.evenPort(reserving: true))
        client.bind(0x4000, to: "192.0.2.9:1")
        #expect(
            relay.pass(seconds: 100_000) == [
                "close reserved 203.0.113.1:50001", "remove #0", "close 203.0.113.1:50000",
                "note expired 198.51.100.1:5000 203.0.113.1:3478 alice 203.0.113.1:50000 100000s 0/0 0/0",
            ])
        #expect(relay.isEmpty)
    }
}
