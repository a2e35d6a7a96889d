import STUN
import Testing

@testable import RelayCore

/// What operators see of sessions, and how they end them.
@Suite("Sessions")
struct SessionTests {
    static let first: TransportAddress = "198.51.100.1:5000"
    static let second: TransportAddress = "198.51.100.2:5000"
    static let peer: TransportAddress = "192.0.2.9:1"

    private func id(_ text: String) -> SessionID {
        guard let id = SessionID(text) else { preconditionFailure("\(text) is no id") }
        return id
    }

    /// Alice with a channel that carried one payload each way, and Bob with a permission.
    private func pair() -> (relay: Relay, alice: Client, bob: Client) {
        let relay = Relay(.script.with { $0.relayPorts = 50_000...50_001 }, worker: 2, of: 3)
        let alice = Client.greeted(relay, Self.first)
        alice.allocate()
        alice.bind(0x4000, to: Self.peer)
        alice.say("four", on: 0x4000)
        let bob = Client.greeted(relay, Self.second, user: "bob")
        bob.allocate(.lifetime(1200))
        bob.permit("192.0.2.8:7")
        return (relay, alice, bob)
    }

    @Test("the list says who, where, for how long and how much")
    func list() {
        let (relay, _, _) = pair()
        _ = relay.pass(seconds: 10)
        let sessions = relay.sessions()
        #expect(sessions.map(\.id.description) == ["2-0-0", "2-1-0"])
        #expect(sessions.map(\.summary.username) == ["alice", "bob"])
        #expect(sessions.map(\.summary.client) == [Self.first, Self.second])
        #expect(sessions.map(\.ageSeconds) == [10, 10])
        #expect(sessions.map(\.lifetimeSeconds) == [590, 1190])
        #expect(sessions.map(\.channelCount) == [1, 0])
        #expect(sessions.map(\.permissionCount) == [1, 1])
        #expect(sessions.map { describe($0.traffic.total) } == ["1/4 0/0", "0/0 0/0"])
        #expect(sessions[0].summary.relayed.count == 1)
    }

    @Test("one session in detail")
    func detail() throws {
        let (relay, _, _) = pair()
        _ = relay.pass(seconds: 10)
        let first = id("2-0-0")
        let detail = try #require(relay.detail(first))
        #expect(detail.session == relay.sessions()[0])
        let end = try #require(detail.relays.first)
        #expect(detail.relays.count == 1)
        #expect(end.local == end.relayed && end.lifetimeSeconds == 590)
        #expect(end.permissions == [SessionPermission(peer: ip("192.0.2.9"), lifetimeSeconds: 290)])
        #expect(end.channels.map(\.number.rawValue) == [0x4000])
        #expect(end.channels.map(\.peer) == [Self.peer])
        #expect(end.channels.map(\.lifetimeSeconds) == [590])
        #expect(end.channels.map(\.isActive) == [true])
        #expect(end.channels.map { describe($0.traffic) } == ["1/4 0/0"])
        let (gone, never) = (id("2-0-1"), id("2-9-0"))
        #expect(relay.detail(gone) == nil)
        #expect(relay.detail(never) == nil)
    }

    @Test(
        "filters: the user, the client, the peer; all that are given",
        arguments: [
            ("alice", nil, nil, [0]), ("bob", nil, nil, [1]), ("carol", nil, nil, []),
            (nil, "198.51.100.1", nil, [0]), (nil, "198.51.100.2:5000", nil, [1]), (nil, "198.51.100.2:5001", nil, []),
            (nil, nil, "192.0.2.9", [0]), (nil, nil, "192.0.2.9:1", [0]), (nil, nil, "192.0.2.9:2", []),
            (nil, nil, "192.0.2.8", [1]), (nil, nil, "192.0.2.8:7", []), (nil, nil, "2001:db8::1", []),
            ("alice", "198.51.100.1", "192.0.2.9", [0]), ("alice", "198.51.100.2", nil, []),
        ] as [(String?, String?, String?, [Int])])
    func filters(_ user: String?, _ client: String?, _ peer: String?, _ found: [Int]) {
        let (relay, _, _) = pair()
        let filter = SessionFilter(
            user: user, client: client.flatMap { .init($0) }, peer: peer.flatMap { .init($0) })
        #expect(relay.sessions(filter).map { Int($0.id.place) } == found)
    }

    @Test("time-limited credentials: the user in the name and the whole name find a session")
    func timeLimited() {
        let relay = Relay(.script.with { $0.authSecrets = ["s"] })
        let made = TimeLimitedCredential(user: "dora", expiresAtSeconds: 1_800_001_000, secret: "s")
        let dora = Client.greeted(relay, Self.first, user: made.username, password: made.password)
        dora.allocate()
        #expect(relay.sessions(SessionFilter(user: "dora")).count == 1)
        #expect(relay.sessions(SessionFilter(user: "1800001000:dora")).count == 1)
        #expect(relay.sessions(SessionFilter(user: "1800001000")).isEmpty)
    }

    @Test("a kick ends routes, then the socket, then says so; the client has nothing any more")
    func kick() {
        let (relay, alice, _) = pair()
        _ = relay.pass(seconds: 10)
        let id = relay.sessions()[0].id
        let relayed = relay.sessions()[0].summary.relayed[0]
        #expect(
            relay.kick(id) == [
                "remove #0", "close \(relayed)",
                "note kicked \(Self.first) 203.0.113.1:3478 alice \(relayed) 10s 1/4 0/0",
            ])
        #expect(relay.kick(id) == ["gone"])
        #expect(alice.refresh() == ["-> \(Self.first): refresh 437 signed-sha1"])
        #expect(alice.say("late", on: 0x4000) == ["dropped"])
        #expect(relay.sessions().map(\.summary.username) == ["bob"])
        #expect(relay.core.counters.allocations == 1 && relay.core.counters.channels == 0)
    }

    @Test("the next allocation at the same place has another id")
    func generation() {
        let (relay, alice, _) = pair()
        let before = relay.sessions()[0].id
        _ = relay.kick(before)
        alice.allocate()
        let after = relay.sessions()[0].id
        #expect(after.place == before.place && after != before)
        #expect(relay.kick(before) == ["gone"])
    }

    @Test("an allocation that still waits for its socket is no session")
    func opening() {
        let relay = Relay(.onePort)
        let client = Client.greeted(relay, Self.first)
        relay.holdsBinds = true
        client.allocate()
        #expect(relay.sessions().isEmpty)
        let coming = id("0-0-0")
        #expect(relay.kick(coming) == ["gone"])
        #expect(relay.kick(SessionFilter()) == ["kicked 0"])
        #expect(relay.answerHeld().count == 2)
        #expect(relay.sessions().count == 1)
    }

    @Test("a long list and a mass kick are done in portions")
    func portions() {
        let relay = Relay(
            .script.with {
                $0.relayPorts = 40_000...49_999
                $0.allocationsPerUser = 0
                $0.unauthenticatedRate = 0
            })
        for port in UInt16(1)...700 {
            let user = port % 10 == 0 ? "bob" : "alice"
            Client.greeted(relay, TransportAddress(ip("198.51.100.1"), port: port), user: user).allocate()
        }
        let page = relay.core.sessions(from: 0, SessionFilter(), at: relay.moment)
        #expect(page.sessions.count == RelayCore.sessionsPerPage && page.next == UInt32(RelayCore.sessionsPerPage))
        let sparse = relay.core.sessions(from: 0, SessionFilter(user: "bob"), at: relay.moment)
        #expect(sparse.sessions.count == 25 && sparse.next == RelayCore.placesPerPage)
        #expect(relay.sessions().map(\.summary.client.port) == Array(1...700))
        let kicks = relay.kick(SessionFilter(user: "alice")).filter { $0.hasPrefix("kicked") }
        #expect(kicks.count == 20 && kicks.dropLast().allSatisfy { $0 == "kicked 32" })
        #expect(relay.sessions().map(\.summary.username) == Array(repeating: "bob", count: 70))
        _ = relay.kick(SessionFilter())
        #expect(relay.sessions().isEmpty && relay.sockets.isEmpty)
        // The timers of what was ended come to nothing.
        _ = relay.pass(seconds: 601)
        #expect(relay.isEmpty)
    }

    @Test("ids as text", arguments: ["0-0-0", "3-12-4294967295", "255-4294967295-1"])
    func texts(text: String) { #expect(SessionID(text)?.description == text) }

    @Test("no ids", arguments: ["", "0", "0-0", "0-0-0-0", "a-0-0", "-1-0-0", "+1-0-0", "0--0", "0-0-4294967296"])
    func noTexts(text: String) { #expect(SessionID(text) == nil) }
}

/// Which plane carried what of a session.
@Suite("Traffic by planes")
struct SessionTrafficTests {
    private func carried(_ packets: UInt64, _ bytes: UInt64) -> AllocationTraffic {
        var traffic = AllocationTraffic()
        traffic.packetsToClient = packets
        traffic.bytesToClient = bytes
        return traffic
    }

    private func shares(_ traffic: SessionTraffic) -> [String] {
        traffic.shares.map { "\($0.plane) \(describe($0.traffic))" }
    }

    private func bound() -> (relay: Relay, client: Client) {
        let relay = Relay(.onePort)
        relay.core.carry(by: "socket", offload: nil)
        let client = Client.greeted(relay, "198.51.100.1:5000")
        client.allocate()
        client.bind(0x4000, to: "192.0.2.9:1")
        return (relay, client)
    }

    @Test("each plane has what was carried while it ran; what an offload tells is its own")
    func planes() {
        let (relay, client) = bound()
        client.say("one", on: 0x4000)
        relay.core.carry(by: "io-uring", offload: "xdp")
        client.say("seven77", on: 0x4000)
        client.indicate("11", to: "192.0.2.9:1")
        let late = relay.core.credit(RouteID(index: 0), carried(5, 500), at: relay.now)
        #expect(late == nil)
        let session = relay.sessions()[0]
        #expect(shares(session.traffic) == ["socket 1/3 0/0", "xdp 0/0 5/500", "io-uring 2/9 0/0"])
        relay.core.carry(by: "socket", offload: nil)
        client.say("22", on: 0x4000)
        #expect(
            shares(relay.sessions()[0].traffic) == ["socket 2/5 0/0", "xdp 0/0 5/500", "io-uring 2/9 0/0"])
        #expect(describe(relay.sessions()[0].traffic.total) == "4/14 5/500")
    }

    @Test("what an offload tells with the end of a route still counts: for the session, or for the note of its end")
    func late() {
        let (relay, _) = bound()
        relay.core.carry(by: "socket", offload: "xdp")
        let id = relay.sessions()[0].id
        var effects = Effects()
        let isKicked = relay.core.kick(id.allocation, at: relay.moment, into: &effects)
        #expect(isKicked)
        let late = relay.core.credit(RouteID(index: 0), carried(2, 20), at: relay.now)
        #expect(late == carried(2, 20))
        #expect(describe(relay.core.counters.channelTraffic) == "0/0 2/20")
        let nobodys = relay.core.credit(RouteID(index: 0), carried(1, 1), at: relay.now)
        #expect(nobodys == nil)
    }
}
