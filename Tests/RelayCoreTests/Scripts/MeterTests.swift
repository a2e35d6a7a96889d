import STUN
import Testing

@testable import RelayCore

/// Limits on relayed traffic. At 8 Mbit/s a byte takes a microsecond, and a burst is 250,000 bytes.
@Suite("Rates of allocations and users")
struct MeterTests {
    static let peer: TransportAddress = "192.0.2.9:9000"
    static let other: TransportAddress = "192.0.2.10:9000"
    static let relayed: TransportAddress = "203.0.113.1:50000"
    static let thousand = String(repeating: "x", count: 1_000)
    static let fast = RateLimit(bitsPerSecond: 8_000_000)

    private func bound(_ change: (inout Configuration) -> Void) -> Client {
        let client = Client.greeted(Relay(.script.with(change)), "198.51.100.1:5000")
        client.allocate(.lifetime(3600))
        client.bind(0x4000, to: Self.peer)
        return client
    }

    /// How many of `count` datagrams leave.
    private func passed(_ count: Int, _ send: () -> [String]) -> Int {
        (0..<count).count { _ in
            let seen = send()
            return !seen.isEmpty && seen != ["limited"]
        }
    }

    @Test("a burst passes to the byte, and then a byte a microsecond")
    func burst() {
        let client = bound { $0.allocationRate = Self.fast }
        let relay = client.relay
        #expect(passed(300) { client.say(Self.thousand, on: 0x4000) } == 250)
        #expect(relay.core.counters[.overLimit] == 50)
        // A byte less than room, room, a byte more than none.
        relay.now = Instant(nanoseconds: relay.now.nanoseconds + 999_000)
        #expect(client.say(Self.thousand, on: 0x4000) == ["limited"])
        relay.now = Instant(nanoseconds: relay.now.nanoseconds + 1_000)
        #expect(client.say(Self.thousand, on: 0x4000).count == 1)
        #expect(client.say("y", on: 0x4000) == ["limited"])
        #expect(client.say("", on: 0x4000).count == 1)
        _ = relay.pass(milliseconds: 100)
        #expect(passed(200) { client.say(Self.thousand, on: 0x4000) } == 100)
        _ = relay.pass(seconds: 60)
        #expect(passed(300) { client.say(Self.thousand, on: 0x4000) } == 250)
        #expect(relay.core.counters.channelTraffic == traffic(toPeers: (602, 601_000), toClient: (0, 0)))
    }

    @Test("a slow rate still lets 64 KiB pass at once")
    func leastBurst() {
        let client = bound { $0.allocationRate = RateLimit(bitsPerSecond: 80_000) }
        let kilobyte = String(repeating: "x", count: 1_024)
        #expect(passed(100) { client.say(kilobyte, on: 0x4000) } == 64)
        _ = client.relay.pass(milliseconds: 102)
        #expect(client.say(kilobyte, on: 0x4000) == ["limited"])
        _ = client.relay.pass(milliseconds: 1)
        #expect(client.say(kilobyte, on: 0x4000).count == 1)
    }

    @Test("channel data and indications share one bucket each way, and the ways do not share")
    func directions() {
        let client = bound { $0.allocationRate = Self.fast }
        let relay = client.relay
        #expect(passed(200) { client.say(Self.thousand, on: 0x4000) } == 200)
        #expect(passed(100) { client.indicate(Self.thousand, to: Self.peer) } == 50)
        #expect(client.say("x", on: 0x4000) == ["limited"])
        #expect(passed(130) { relay.deliver(Self.thousand, to: client.relayed, from: Self.peer) } == 130)
        // Without a channel: a Data indication.
        let beside = TransportAddress("192.0.2.9:9001")
        #expect(passed(200) { relay.deliver(Self.thousand, to: client.relayed, from: beside) } == 120)
        #expect(relay.deliver("x", to: client.relayed, from: Self.peer) == ["limited"])
        #expect(relay.core.counters[.overLimit] == 50 + 1 + 80 + 1)
        #expect(relay.core.counters.channelTraffic == traffic(toPeers: (200, 200_000), toClient: (130, 130_000)))
        #expect(relay.core.counters.indicationTraffic == traffic(toPeers: (50, 50_000), toClient: (120, 120_000)))
    }

    @Test("datagrams are counted beside bytes, and one that is dropped for either counts for none")
    func packets() {
        let client = bound { $0.allocationRate = RateLimit(bitsPerSecond: 8_000_000, packetsPerSecond: 100) }
        #expect(passed(100) { client.say("x", on: 0x4000) } == 64)
        _ = client.relay.pass(milliseconds: 10)
        #expect(passed(3) { client.say("x", on: 0x4000) } == 1)
        // Both buckets are full again. Of the bytes' one the sixth takes nothing, nor of the datagrams' one.
        _ = client.relay.pass(milliseconds: 700)
        let most = String(repeating: "x", count: 49_999)
        #expect(passed(6) { client.say(most, on: 0x4000) } == 5)
        #expect(client.say("vwxyz", on: 0x4000) != ["limited"])
        #expect(client.say("w", on: 0x4000) == ["limited"])
        _ = client.relay.pass(milliseconds: 1)
        #expect(passed(100) { client.say("x", on: 0x4000) } == 64 - 6)
    }

    @Test("all allocations of a user share the user's rate; what it drops counts in no allocation")
    func users() {
        let first = bound {
            $0.allocationRate = Self.fast
            $0.userRate = RateLimit(bitsPerSecond: 8_000_000)
        }
        let relay = first.relay
        let second = Client.greeted(relay, "198.51.100.2:5000")
        let bob = Client.greeted(relay, "198.51.100.3:5000", user: "bob")
        for client in [second, bob] {
            client.allocate(.lifetime(3600))
            client.bind(0x4000, to: Self.other)
        }
        #expect(passed(200) { first.say(Self.thousand, on: 0x4000) } == 200)
        #expect(passed(200) { second.say(Self.thousand, on: 0x4000) } == 50)
        #expect(passed(300) { bob.say(Self.thousand, on: 0x4000) } == 250)
        let limited = relay.sessions().map { ($0.overLimit.droppedCount, $0.overLimit.isLimited) }
        #expect(limited.map(\.0) == [0, 150, 50])
        #expect(limited.map(\.1) == [false, true, true])
        // The user's limit goes, the allocations' stay: 50 and 200 are left.
        _ = relay.reconfigure(relay.core.configuration.with { $0.userRate = .none })
        #expect(passed(300) { first.say(Self.thousand, on: 0x4000) } == 50)
        #expect(passed(300) { second.say(Self.thousand, on: 0x4000) } == 200)
        _ = relay.pass(seconds: 2)
        #expect(relay.sessions().allSatisfy { !$0.overLimit.isLimited })
    }

    @Test("a user's rate is one for all workers, and outlives the allocations")
    func workers() {
        let configuration = Configuration.script.with { $0.userRate = Self.fast }
        let host = Relay.Host(configuration)
        let relays = (0..<2).map { Relay(configuration, host: host, worker: $0, of: 2) }
        let clients = [Client.greeted(relays[0], "198.51.100.1:5000"), Client.greeted(relays[1], "198.51.100.2:5000")]
        for client in clients {
            client.allocate()
            client.bind(0x4000, to: Self.peer)
        }
        #expect(passed(200) { clients[0].say(Self.thousand, on: 0x4000) } == 200)
        #expect(passed(200) { clients[1].say(Self.thousand, on: 0x4000) } == 50)
        for client in clients { client.refresh(.lifetime(0)) }
        #expect(host.ledger.userCount == 1)
        clients[0].allocate()
        clients[0].bind(0x4000, to: Self.peer)
        #expect(passed(10) { clients[0].say(Self.thousand, on: 0x4000) } == 0)
        clients[0].refresh(.lifetime(0))
        // Once nothing counts any more, the user is forgotten when the next one comes.
        for relay in relays { _ = relay.pass(seconds: 1) }
        let bob = Client.greeted(relays[0], "198.51.100.3:5000", user: "bob")
        bob.allocate()
        #expect(host.ledger.userCount == 1)
    }

    @Test("what a plane carried by itself is taken off, two seconds beyond the burst at most")
    func offload() {
        let client = bound {
            $0.allocationRate = Self.fast
            $0.userRate = RateLimit(bitsPerSecond: 16_000_000)
        }
        let relay = client.relay
        let route = RouteID(index: 0)
        let late = relay.core.credit(route, traffic(toPeers: (100, 100_000), toClient: (1, 250_000)), at: relay.now)
        #expect(late == nil)
        #expect(passed(300) { client.say(Self.thousand, on: 0x4000) } == 150)
        #expect(relay.deliver("x", to: client.relayed, from: Self.peer) == ["limited"])
        // Far too much, as a plane without limits would carry.
        _ = relay.core.credit(route, traffic(toPeers: (1, 1 << 40), toClient: (0, 0)), at: relay.now)
        _ = relay.pass(milliseconds: 2_000)
        #expect(client.say("x", on: 0x4000) == ["limited"])
        _ = relay.pass(milliseconds: 1)
        #expect(passed(3) { client.say(Self.thousand, on: 0x4000) } == 1)
    }

    @Test("a faster limit holds at once, whatever a slow one left behind")
    func raised() {
        let slow = RateLimit(bitsPerSecond: 80_000, packetsPerSecond: 1)
        let client = bound {
            $0.allocationRate = slow
            $0.userRate = slow
        }
        let relay = client.relay
        #expect(passed(100) { client.say(Self.thousand, on: 0x4000) } == 64)
        var configuration = relay.core.configuration
        configuration.allocationRate = Self.fast
        configuration.userRate = Self.fast
        _ = relay.reconfigure(configuration)
        #expect(passed(300) { client.say(Self.thousand, on: 0x4000) } == 250)
    }

    @Test("what a plane carried for an allocation that is gone is its user's all the same")
    func carriedToTheEnd() {
        let client = bound { $0.userRate = Self.fast }
        let relay = client.relay
        client.refresh(.lifetime(0))
        let late = relay.core.credit(
            RouteID(index: 0), traffic(toPeers: (250, 250_000), toClient: (0, 0)), at: relay.now)
        #expect(late?.packetsToPeers == 250)
        client.allocate()
        client.bind(0x4000, to: Self.peer)
        #expect(passed(10) { client.say(Self.thousand, on: 0x4000) } == 0)
    }

    @Test("routes carry their meters; a new limit is told for each that lives")
    func deltas() throws {
        let client = bound { $0.userRate = RateLimit(packetsPerSecond: 500) }
        let relay = client.relay
        let first = try #require(relay.routes[RouteID(index: 0)]).meters
        #expect(first.allocation == nil)
        #expect(first.user?.limit == RateLimit(packetsPerSecond: 500))
        let second = Client.greeted(relay, "198.51.100.2:5000")
        second.allocate()
        second.bind(0x4000, to: Self.other)
        let route = try #require(relay.routes[RouteID(index: 1)])
        #expect(route.meters.user == first.user)

        let quiet = relay.reconfigure(relay.core.configuration.with { $0.allocationsPerUser = 5 })
        #expect(quiet == [])
        let told = relay.reconfigure(relay.core.configuration.with { $0.allocationRate = Self.fast })
        #expect(told.count == 2 && told.allSatisfy { $0.hasPrefix("meter #") && $0.contains("8000000bit,0p") })
        let meters = relay.routes.values.map(\.meters)
        #expect(Set(meters.map(\.allocation?.id)).count == 2 && Set(meters.map(\.user?.id)).count == 1)
        #expect(relay.core.activeRoutes.map(\.meters).count { meters.contains($0) } == 2)
        _ = relay.reconfigure(
            relay.core.configuration.with {
                $0.allocationRate = .none
                $0.userRate = .none
            })
        #expect(relay.routes.values.allSatisfy { $0.meters == .none })
        #expect(passed(400) { client.say(Self.thousand, on: 0x4000) } == 400)
    }

    @Test("no two allocations and no two users ever have the same meter")
    func identities() throws {
        let client = bound {
            $0.allocationRate = Self.fast
            $0.userRate = Self.fast
            $0.relayPorts = 50_000...50_999
        }
        var seen: Set<MeterID> = []
        for round in 0..<3 {
            let meters = try #require(client.relay.routes.values.first).meters
            let (own, user) = (try #require(meters.allocation), try #require(meters.user))
            #expect(seen.insert(own.id).inserted, "round \(round)")
            #expect(seen.insert(user.id).inserted, "round \(round)")
            client.refresh(.lifetime(0))
            // Somebody else comes and goes, which is when users are forgotten.
            let bob = Client.greeted(client.relay, "198.51.100.9:5000", user: "bob")
            bob.allocate()
            bob.refresh(.lifetime(0))
            client.allocate()
            client.bind(0x4000, to: Self.peer)
        }
    }

    @Test("the line of a session's end and the totals know nothing of what was dropped")
    func totals() {
        let client = bound { $0.allocationRate = Self.fast }
        _ = passed(300) { client.say(Self.thousand, on: 0x4000) }
        let end = client.refresh(.lifetime(0)).last ?? ""
        #expect(end.hasSuffix(" 250/250000 0/0"), "\(end)")
    }
}

extension Client {
    /// The relayed address of the client's allocation.
    fileprivate var relayed: TransportAddress {
        guard let found = relay.sessions().first(where: { $0.summary.client == address }) else {
            preconditionFailure("no allocation")
        }
        return found.summary.relayed[0]
    }
}
