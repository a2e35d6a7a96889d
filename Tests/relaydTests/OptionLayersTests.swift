import DataPlaneIOUring
import PlaneKit
import RelayCore
import STUN
import Testing

@testable import relayd

@Suite("Command line over environment over file")
struct OptionLayersTests {
    private let yaml = """
        realm: file.example
        relay-ports: 50000-50999
        user: alice:one
        deny-peer:
          - 10.0.0.0/8
          - 192.0.2.0/24
        """

    @Test("The file alone")
    func fileAlone() throws {
        let read = try Reading(yaml: yaml)
        #expect(read.problems.isEmpty)
        #expect(read.settings.realm == "file.example")
        #expect(read.settings.relayPorts == 50000...50999)
        #expect(read.settings.denyPeers.map(\.description) == ["10.0.0.0/8", "192.0.2.0/24"])
    }

    @Test("The environment beats the file, key by key")
    func environmentBeatsFile() throws {
        let read = try Reading(environment: ["RELAYD_REALM": "environment.example"], yaml: yaml)
        #expect(read.problems.isEmpty)
        #expect(read.settings.realm == "environment.example")
        #expect(read.settings.relayPorts == 50000...50999)
        #expect(read.layers.find(.realm)?.origin == "RELAYD_REALM")
    }

    @Test("The command line beats both")
    func commandLineBeatsAll() throws {
        let read = try Reading(
            ["--realm", "flag.example"], environment: ["RELAYD_REALM": "environment.example"], yaml: yaml)
        #expect(read.settings.realm == "flag.example")
        #expect(read.layers.find(.realm)?.origin == "--realm")
    }

    @Test("A stronger list replaces a weaker one as a whole")
    func listsAreNotMixed() throws {
        let read = try Reading(["--deny-peer", "203.0.113.0/24"], yaml: yaml)
        #expect(read.settings.denyPeers.map(\.description) == ["203.0.113.0/24"])
    }

    @Test("Lists in the environment are separated by commas")
    func environmentLists() throws {
        let read = try Reading(
            .credentials, environment: ["RELAYD_LISTEN": "192.0.2.1:3478, [2001:db8::1]:3479"])
        #expect(read.problems.isEmpty)
        #expect(read.settings.listen.map(\.description) == ["192.0.2.1:3478", "[2001:db8::1]:3479"])
    }

    @Test("Features of the ring are named one by one, in all three ways")
    func ringFeatures() throws {
        let inEnvironment = try Reading(.credentials, environment: ["RELAYD_IO_URING_FEATURES": "sqpoll,zero-copy"])
        #expect(inEnvironment.settings.ringFeatures == [.sqpoll, .zeroCopy])
        let byFlags = try Reading(.credentials + ["--io-uring-features", "napi", "--io-uring-features", "sqpoll"])
        #expect(byFlags.settings.ringFeatures == [.napi, .sqpoll])
        #expect(try Reading(yaml: yaml + "\nio-uring-features: [zero-copy]").settings.ringFeatures == [.zeroCopy])
        #expect(try Reading(yaml: yaml).settings.ringFeatures == [])
    }

    @Test("A list key takes one value in YAML too")
    func scalarForList() throws {
        let read = try Reading(yaml: yaml)
        #expect(read.settings.users.map(\.name) == ["alice"])
    }

    @Test("A value's origin in the file is its line")
    func origins() throws {
        let read = try Reading(yaml: yaml)
        let origin = try #require(read.layers.find(.denyPeer)?.origin)
        #expect(origin.hasSuffix(":4"))
        #expect(read.layers.find(.http) == nil)
    }

    @Test("Every key works in all three places", arguments: OptionKey.allCases)
    func everyKeyEverywhere(key: OptionKey) throws {
        let value = OptionKey.sample(of: key)
        let flags = key.shape == .flag ? ["--\(key.rawValue)"] : ["--\(key.rawValue)", value]
        #expect(try Reading(flags).layers.find(key)?.values == [value])
        #expect(try Reading(environment: [key.environmentName: value]).layers.find(key)?.values == [value])
        #expect(try Reading(yaml: "\(key.rawValue): '\(value)'").layers.find(key)?.values == [value])
    }

    @Test("A sample of every key is accepted", arguments: OptionKey.allCases)
    func samplesAreAccepted(key: OptionKey) throws {
        guard !OptionKey.ofFiles.contains(key) else { return }
        let problems = try Reading(environment: [key.environmentName: OptionKey.sample(of: key)]).problems
        #expect(!problems.contains { $0.contains("accepted") })
    }

    @Test("A misspelt variable is a warning, a foreign one is nothing")
    func misspeltVariables() throws {
        let read = try Reading(
            .credentials,
            environment: ["RELAYD_RELAY_ADRESS": "192.0.2.1", "RELAYD_SERVICE_HOST": "10.0.0.1", "HOME": "/root"])
        #expect(
            read.layers.warnings == ["RELAYD_RELAY_ADRESS is ignored; did you mean RELAYD_RELAY_ADDRESS?"])
    }

    @Test(
        "Quantities have units",
        arguments: [("90", 90), ("90s", 90), ("2m", 120), ("1h", 3600), ("28800", 28_800)] as [(String, UInt32)])
    func times(text: String, seconds: UInt32) throws {
        #expect(try Reading(.credentials + ["--nonce-lifetime", text]).settings.nonceLifetimeSeconds == seconds)
    }

    @Test(
        "Offloads that are not named are off; all are on where none is",
        arguments: [
            ([], Offloads()), (["gro", "raw"], Offloads(segmentation: false)), (["none"], .none),
            (["gso", "gro", "raw"], Offloads()),
        ] as [([String], Offloads)])
    func offloads(names: [String], expected: Offloads) throws {
        let read = try Reading(.credentials + names.flatMap { ["--offloads", $0] })
        #expect(read.problems.isEmpty)
        #expect(read.settings.offloads == expected)
        guard !names.isEmpty else { return }
        let environment = try Reading(.credentials, environment: ["RELAYD_OFFLOADS": names.joined(separator: ",")])
        #expect(environment.settings.offloads == expected)
    }

    @Test("None is alone")
    func noneBesideOthers() throws {
        let read = try Reading(.credentials + ["--offloads", "none", "--offloads", "gro"])
        #expect(read.problems.contains("offloads: none beside others; give it alone"))
    }

    @Test("So have sizes", arguments: [("4096", 4096), ("64KiB", 65_536), ("2MiB", 2 << 20), ("1GiB", 1 << 30)])
    func sizes(text: String, bytes: Int) throws {
        #expect(try Reading(.credentials + ["--send-buffer", text]).settings.sendBufferBytes == bytes)
    }
}

extension OptionKey {
    /// Their values name files, which are read at once.
    static let ofFiles: Set<OptionKey> = [.authSecretFile, .httpTokenFile, .otlpCAFile]

    /// A value that is not the default.
    static func sample(of key: OptionKey) -> String {
        switch key {
        case .listen: "192.0.2.1:3478"
        case .relayAddress: "192.0.2.1"
        case .externalAddress: "198.51.100.1"
        case .relayPorts: "50000-50999"
        case .realm: "example.org"
        case .user: "alice:secret"
        case .authSecret: "secret"
        case .authSecretFile, .httpTokenFile, .otlpCAFile: "/nonexistent"
        case .peerProfile: "private-network"
        case .allowPeer, .denyPeer: "10.0.0.0/8"
        case .allocationsPerUser, .allocationsTotal, .permissionsPerAllocation, .channelsPerAllocation,
            .allocationPacketRate, .userPacketRate, .unauthenticatedRate:
            "60"
        case .newPeerRate: "60/min"
        case .allocationRate, .userRate: "1.5Mbit"
        case .nonceLifetime, .drainTimeout: "90s"
        case .watchConfig: "false"
        case .alternateServer: "192.0.2.2:3478"
        case .rfc5766ChannelNumbers, .fallback, .demo: "true"
        case .dataPlane, .xdpSlowPath: "socket"
        case .xdpInterface: "eth0"
        case .xdpMode: "generic"
        case .xdpNextHop: "swap"
        case .xdpRoutes: "1024"
        case .offloads: "gso"
        case .ioUringFeatures: "napi"
        case .workers: "2"
        case .receiveBuffer, .sendBuffer: "65536"
        case .http: "127.0.0.1:9090"
        case .adminSocket: "/run/relayd/admin.sock"
        case .otlpEndpoint: "https://127.0.0.1:4318"
        case .otlpInterval: "60"
        case .logLevel: "debug"
        case .logFormat: "json"
        }
    }
}
