import STUN
import Testing

@testable import RelayCore

/// What a core leaves out while its worker is behind.
@Suite("Load shedding")
struct SheddingTests {
    static let peer: TransportAddress = "192.0.2.9:9000"
    let relay = Relay()

    private func stranger(_ number: UInt32) -> Client {
        Client(relay, TransportAddress(IPAddress(v4: 0xC633_6400 + number), port: 6000))
    }

    /// So many want to be challenged at this moment that there are no challenges left.
    private func crowd() { relay.core.challengedUntil = relay.now.nanoseconds + 250_000_000 }

    @Test("so many clients are challenged all the same: those that come back at once are no flood")
    func challenges() {
        relay.core.shed(true)
        let request = stranger(0).request(.allocate, [.udp])
        // Each from another address, as a source by itself gets fewer answers.
        #expect((0..<6_000).count { !stranger($0).deliver(request).isEmpty } == 5_000)
        _ = relay.pass(milliseconds: 1)
        #expect((6_000..<6_100).count { !stranger($0).deliver(request).isEmpty } == 20)
    }

    @Test("whoever has no allocation is not answered, whatever they ask")
    func strangers() {
        let challenged = Client.greeted(relay, "198.51.100.7:5000")
        relay.core.shed(true)
        crowd()
        let stranger = stranger(8)
        let requests = [
            encode(.request, .binding, stranger.nextTransaction(), []),
            encode(.request, .allocate, stranger.nextTransaction(), [.udp]),
            stranger.request(.allocate, [.udp]), stranger.request(.refresh, []),
            stranger.request(.channelBind, [.channel(0x4000), .peer(Self.peer)]),
            encode(.indication, .send, stranger.nextTransaction(), [.peer(Self.peer), .data("x")]),
            challenged.request(.allocate, [.udp]),
        ]
        // An Allocate is looked at by the core, all else is dropped by its first bytes.
        let seen = requests.map { stranger.deliver($0) }
        #expect(seen == [["dropped"], [], [], ["dropped"], ["dropped"], ["dropped"], []])
        #expect(relay.core.counters[.shed] == 7)
        #expect(relay.core.counters[.malformed] == 0)
        relay.core.shed(false)
        #expect(stranger.deliver(requests[0]) == ["-> 198.51.100.8:6000: binding success mapped=198.51.100.8:6000"])
    }

    @Test("who was challenged before still gets an allocation, and the living ones lack nothing")
    func living() {
        let living = Client.greeted(relay, "198.51.100.1:5000")
        living.allocate()
        living.bind(0x4000, to: Self.peer)
        let challenged = Client.greeted(relay, "198.51.100.2:5000")
        relay.core.shed(true)
        #expect(relay.core.counters.isShedding == 1)
        #expect(living.say("hello", on: 0x4000).count == 1)
        #expect(living.indicate("hello", to: Self.peer).count == 1)
        #expect(living.refresh() == ["-> 198.51.100.1:5000: refresh success lifetime=600 signed-sha1"])
        #expect(living.permit(Self.peer).last == "-> 198.51.100.1:5000: permission success signed-sha1")
        #expect(
            living.deliver(encode(.request, .binding, living.nextTransaction(), []))
                == ["-> 198.51.100.1:5000: binding success mapped=198.51.100.1:5000"])
        #expect(challenged.allocate().count == 3)
        #expect(challenged.bind(0x4000, to: Self.peer).count == 2)
        #expect(relay.core.counters[.shed] == 0)
        relay.core.shed(false)
        #expect(relay.core.counters.isShedding == 0)
    }

    @Test("a nonce of another client or of long ago is none")
    func nonces() {
        let challenged = Client.greeted(relay, "198.51.100.2:5000")
        let other = stranger(3)
        other.credentials.nonce = challenged.credentials.nonce
        relay.core.shed(true)
        crowd()
        #expect(other.allocate() == [])
        _ = relay.pass(seconds: 8 * 3600 + 1)
        crowd()
        #expect(challenged.allocate() == [])
        #expect(relay.core.counters[.shed] == 2)
    }
}
