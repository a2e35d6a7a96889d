import RelayCore
import STUN
import Testing

@testable import relayd

@Suite("From options to the core's configuration")
struct CoreConfigurationTests {
    @Test("Every option arrives")
    func everything() throws {
        let flags = """
            --realm example.org --user alice:secret:with:colons --auth-secret first --auth-secret second \
            --relay-address 192.0.2.1 --relay-ports 50000-50999 --allocations-per-user 7 \
            --permissions-per-allocation 8 --channels-per-allocation 10 --new-peer-rate 60/min \
            --allocation-rate 1.5Mbit --allocation-packet-rate 300 --user-rate 1Gbit/s --user-packet-rate 400 \
            --unauthenticated-rate 9 --nonce-lifetime 61 --rfc5766-channel-numbers
            """
        let core = try Reading(flags.split(separator: " ").map(String.init)).settings.coreConfiguration()
        #expect(core.realm == "example.org")
        #expect(core.users == [StaticUser(name: "alice", password: "secret:with:colons")])
        #expect(core.authSecrets == ["first", "second"])
        #expect(core.relayAddresses == [RelayAddress(address: try ip("192.0.2.1"))])
        #expect(core.relayPorts == 50000...50999)
        #expect(core.allocationsPerUser == 7)
        #expect(core.permissionsPerAllocation == 8)
        #expect(core.channelsPerAllocation == 10)
        #expect(core.newPeerRate == PeerRate(count: 60, seconds: 60))
        #expect(core.allocationRate == RateLimit(bitsPerSecond: 1_500_000, packetsPerSecond: 300))
        #expect(core.userRate == RateLimit(bitsPerSecond: 1_000_000_000, packetsPerSecond: 400))
        #expect(core.unauthenticatedRate == 9)
        #expect(core.nonceLifetimeSeconds == 61)
        #expect(core.channelNumbers == .rfc5766)
    }

    @Test("What nobody asked for stays at the core's defaults")
    func defaults() throws {
        let core = try Reading(.credentials + ["--relay-address", "192.0.2.1"]).settings.coreConfiguration()
        let plain = Configuration()
        #expect(core.realm == plain.realm)
        #expect(core.relayPorts == plain.relayPorts)
        #expect(core.allocationsPerUser == plain.allocationsPerUser)
        #expect(core.permissionsPerAllocation == plain.permissionsPerAllocation)
        #expect(core.channelsPerAllocation == plain.channelsPerAllocation)
        #expect(core.newPeerRate == .none && plain.newPeerRate == .none)
        #expect(core.allocationRate == .none && core.userRate == .none)
        #expect(core.unauthenticatedRate == plain.unauthenticatedRate)
        #expect(core.nonceLifetimeSeconds == plain.nonceLifetimeSeconds)
        #expect(core.channelNumbers == .rfc8656)
    }

    @Test(
        "Rates are read to the bit",
        arguments: [
            ("0", 0), ("8", 8), ("64000bit", 64_000), ("800kbit", 800_000), ("1.001kbit", 1_001), ("2Mbit", 2_000_000),
            ("0.5Mbit/s", 500_000), ("1.000001Mbit", 1_000_001), ("1.5Gbit", 1_500_000_000),
            ("100Gbit", 100_000_000_000),
        ])
    func rates(text: String, bitsPerSecond: UInt64) throws {
        let settings = try Reading(.credentials + ["--user-rate", text]).settings
        #expect(settings.userRate == RateLimit(bitsPerSecond: bitsPerSecond))
    }

    @Test("Rates of new peers", arguments: [("5/s", 5, 1), ("60/min", 60, 60), ("1000000/h", 1_000_000, 3600)])
    func peerRates(text: String, count: UInt32, seconds: UInt32) throws {
        let settings = try Reading(.credentials + ["--new-peer-rate", text]).settings
        #expect(settings.newPeerRate == PeerRate(count: count, seconds: seconds))
        #expect(try Reading(.credentials + ["--new-peer-rate", "0"]).settings.newPeerRate == .none)
    }

    @Test("The policy is made of profile and lists")
    func policy() throws {
        let flags =
            "--relay-address 192.0.2.1 --peer-profile private-network --deny-peer 10.1.0.0/16 --allow-peer 127.0.0.1"
        let policy = try Reading(.credentials + flags.split(separator: " ").map(String.init)).settings
            .coreConfiguration().peerPolicy
        #expect(policy.judge(try ip("10.2.0.1")) == .allowed)
        #expect(policy.judge(try ip("10.1.0.1")) != .allowed)
        #expect(policy.judge(try ip("127.0.0.1")) == .allowed)
        #expect(policy.judge(try ip("127.0.0.2")) != .allowed)
    }

    @Test("External addresses go with the relay addresses of their family, in order")
    func externalAddresses() throws {
        let flags = """
            --relay-address 192.0.2.1 --relay-address 2001:db8::1 --relay-address 192.0.2.2 \
            --external-address 198.51.100.1 --external-address 198.51.100.2
            """
        let core = try Reading(.credentials + flags.split(separator: " ").map(String.init)).settings
            .coreConfiguration()
        #expect(
            core.relayAddresses == [
                RelayAddress(address: try ip("192.0.2.1"), external: try ip("198.51.100.1")),
                RelayAddress(address: try ip("2001:db8::1")),
                RelayAddress(address: try ip("192.0.2.2"), external: try ip("198.51.100.2")),
            ])
    }

    @Test("The relay's own addresses, inside and outside, are named to the core")
    func ownAddresses() throws {
        let flags = "--relay-address 127.0.0.1 --external-address 198.51.100.1"
        let core = try Reading(.credentials + flags.split(separator: " ").map(String.init)).settings
            .coreConfiguration()
        #expect(core.ownAddresses.contains(try ip("127.0.0.1")))
        #expect(core.ownAddresses.contains(try ip("198.51.100.1")))
    }

    @Test("An address that is taken from the host is never loopback")
    func chosenAddresses() {
        #expect(!HostAddresses.ofDefaultRoutes().contains { $0.isLoopback || $0.isUnspecifiedAddress })
    }

    @Test("A demo stays on loopback, opens loopback only, and mints fresh credentials")
    func demo() throws {
        let asked = try Reading(["--demo", "--workers", "1"]).settings
        let demo = Demo()
        let settings = demo.apply(to: asked)
        #expect(settings.workers == 1)
        #expect(settings.listen.first?.description == "127.0.0.1:3478")
        #expect(settings.listen.allSatisfy { $0.ip.isLoopback })
        let core = try settings.coreConfiguration()
        #expect(core.relayAddresses.allSatisfy { $0.address.isLoopback })
        #expect(core.peerPolicy.judge(try ip("127.0.0.1")) == .allowed)
        #expect(core.peerPolicy.judge(try ip("192.168.0.1")) != .allowed)
        #expect(core.channelNumbers == .rfc5766)
        #expect(core.users.map(\.password) == [demo.password])
        #expect(demo.password.count >= 16)
        #expect(demo.password != Demo().password)
        #expect(demo.invitation(plane: "socket").contains("-u \(demo.username) -w \(demo.password)"))
    }

    private func ip(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }
}
