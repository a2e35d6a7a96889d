import STUN
import Testing

@testable import RelayCore

/// Answers that a source without credentials may cause.
@Suite("Unauthenticated answers")
struct RateLimitTests {
    private func relay(_ rate: Int) -> Relay { Relay(.script.with { $0.unauthenticatedRate = rate }) }

    @Test("beyond the burst of two seconds there is silence, until the bucket fills again")
    func silence() {
        let relay = relay(5)
        let client = Client(relay, "198.51.100.1:5000")
        let requests = [
            encode(.request, .binding, client.nextTransaction(), []),
            encode(.request, .binding, client.nextTransaction(), [.raw(0x7001, [])]),
            encode(.request, .allocate, client.nextTransaction(), [.udp]),
            encode(
                .request, .allocate, client.nextTransaction(), [.udp, .raw(0x0008, [UInt8](repeating: 1, count: 20))]),
        ]
        for index in 0..<10 { #expect(client.deliver(requests[index % 4]).count == 1) }
        for request in requests { #expect(client.deliver(request) == []) }
        #expect(relay.core.counters[.binding, .rateLimited] == 2)
        #expect(relay.core.counters[.allocate, .rateLimited] == 2)
        _ = relay.pass(milliseconds: 199)
        #expect(client.deliver(requests[0]) == [])
        _ = relay.pass(milliseconds: 1)
        #expect(client.deliver(requests[0]).count == 1)
        #expect(client.deliver(requests[0]) == [])
    }

    @Test("a source is an IPv4 address or an IPv6 /64, whatever the port")
    func sources() {
        let relay = relay(1)
        func answers(_ address: TransportAddress) -> Int {
            let client = Client(relay, address)
            return client.deliver(encode(.request, .binding, client.nextTransaction(), [])).count
        }
        #expect([answers("198.51.100.1:1"), answers("198.51.100.1:2"), answers("198.51.100.1:3")] == [1, 1, 0])
        #expect(answers("198.51.100.2:1") == 1)
        #expect([answers("[2001:db8::1]:1"), answers("[2001:db8::2]:1"), answers("[2001:db8::3]:1")] == [1, 1, 0])
        #expect(answers("[2001:db8:0:1::1]:1") == 1)
    }

    @Test("whoever shows good credentials is answered, errors included")
    func authenticated() {
        let relay = relay(1)
        let client = Client.greeted(relay, "198.51.100.1:5000")
        client.greet()
        #expect(client.greet() == [])
        for _ in 0..<100 { #expect(client.refresh() == ["-> 198.51.100.1:5000: refresh 437 signed-sha1"]) }
        #expect(client.allocate().count == 3)
        #expect(client.bind(0x4000, to: "10.0.0.1:1").count == 2)
        client.credentials.nonce = []
        #expect(client.refresh() == [])
    }

    @Test("no limit is no limit")
    func unlimited() {
        let client = Client(relay(0), "198.51.100.1:5000")
        for _ in 0..<2000 { #expect(client.greet().count == 1) }
    }
}
