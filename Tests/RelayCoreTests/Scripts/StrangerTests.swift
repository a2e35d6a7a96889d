import STUN
import Testing

@testable import RelayCore

/// Whatever arrives without good credentials: no trap, no memory.
@Suite("Strangers")
struct StrangerTests {
    /// Messages that would change something if they were signed right.
    private func samples(_ client: Client) -> [[UInt8]] {
        [
            client.request(.allocate, [.udp, .evenPort(reserving: true), .lifetime(3600), .dontFragment]),
            client.request(.allocate, [.udp, .additional(2)]),
            client.request(.refresh, [.lifetime(0), .family(1)]),
            client.request(.createPermission, [.peer("192.0.2.9:1"), .peer("192.0.2.8:1")]),
            client.request(.channelBind, [.channel(0x4000), .peer("192.0.2.9:1")]),
            encode(.indication, .send, client.nextTransaction(), [.peer("192.0.2.9:1"), .data("x")]),
            encode(.request, .binding, client.nextTransaction(), [.raw(0x0024, [0, 0, 0, 1])], fingerprint: true),
            [0x40, 0x00, 0x00, 0x04, 1, 2, 3, 4],
        ]
    }

    private func mutated(_ sample: [UInt8], _ generator: inout SplitMix64) -> [UInt8] {
        var bytes = sample
        for _ in 0..<Int.random(in: 1...4, using: &generator) {
            let index = Int.random(in: 0..<max(1, bytes.count), using: &generator)
            switch UInt8.random(in: 0...4, using: &generator) {
            case 0: bytes.removeSubrange(index...)
            case 1: bytes.append(contentsOf: (0..<4).map { _ in UInt8.random(in: 0...255, using: &generator) })
            case 2 where bytes.count >= 4: bytes[3] = UInt8.random(in: 0...255, using: &generator)
            case _ where index < bytes.count: bytes[index] = UInt8.random(in: 0...255, using: &generator)
            default: break
            }
        }
        return bytes
    }

    @Test("100,000 mutated and random datagrams leave every table as it was")
    func mutations() {
        print("strangers: \(scriptSeedNote)")
        var generator = SplitMix64(seed: scriptSeed)
        let relay = Relay(.script.with { $0.unauthenticatedRate = 0 }, seed: scriptSeed)
        let owner = Client.greeted(relay, "198.51.100.1:5000")
        owner.allocate()
        owner.bind(0x4000, to: "192.0.2.9:1")
        let before = relay.footprint
        let stranger = Client(relay, "198.51.100.66:6666", user: "mallory")
        stranger.greet()
        let samples = samples(stranger)
        for _ in 0..<100_000 {
            stranger.deliver(mutated(samples[Int.random(in: 0..<samples.count, using: &generator)], &generator))
            guard relay.footprint == before, relay.sockets.count == 1 else {
                Issue.record("\(relay.footprint), \(scriptSeedNote)")
                return
            }
        }
        #expect(owner.say("still here", on: 0x4000).first?.hasSuffix("still here") == true)
    }

    @Test("what a client may do is not undone by mutations of its own messages that fail their integrity")
    func ownMutations() {
        print("own mutations: \(scriptSeedNote)")
        var generator = SplitMix64(seed: scriptSeed)
        let relay = Relay(.script.with { $0.unauthenticatedRate = 0 }, seed: scriptSeed)
        let client = Client.greeted(relay, "198.51.100.1:5000")
        client.allocate()
        client.permit("192.0.2.9:1")
        var samples = samples(client)
        for round in 0..<30_000 {
            if round % 100 == 0 { samples = self.samples(client) }
            client.deliver(mutated(samples[Int.random(in: 0..<samples.count, using: &generator)], &generator))
        }
        // A mutation behind the integrity is none, so the allocation may be another one now, or gone; never more.
        #expect(relay.core.allocations.count <= 1, "\(scriptSeedNote)")
        _ = relay.pass(seconds: 3601)
        #expect(relay.isEmpty && relay.host.bound.isEmpty, "\(scriptSeedNote)")
    }

    @Test("requests that fail to authenticate leave nothing behind, one by one")
    func unauthenticated() {
        let relay = Relay(.script.with { $0.unauthenticatedRate = 0 })
        for port in UInt16(1)...200 {
            let client = Client.greeted(relay, TransportAddress(ip("198.51.100.66"), port: port), user: "mallory")
            for sample in samples(client) { client.deliver(sample) }
        }
        #expect(relay.isEmpty)
        #expect(relay.core.counters[.allocate, .unauthenticated] == 400)
    }
}
