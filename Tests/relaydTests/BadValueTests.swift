import Testing

@testable import relayd

@Suite("A bad value says which key, where it stands, what was found and what is accepted")
struct BadValueTests {
    private static let cases: [(key: OptionKey, values: [String])] = [
        (.listen, ["3478", "192.0.2.1", "192.0.2.1:70000", "2001:db8::1:3478", "localhost:3478"]),
        (.relayAddress, ["192.0.2.1:3478", "eth0", "192.0.2.256", "fe80::1%eth0"]),
        (.externalAddress, ["example.org", ""]),
        (.relayPorts, ["49152", "65535-49152", "0-100", "1-70000", "-", "1-2-3", "a-b"]),
        (.realm, ["", String(repeating: "r", count: 128)]),
        (.peerProfile, ["private", "Public", ""]),
        (.allocationsPerUser, ["-1", "many", "1000001", "1.5", ""]),
        (.permissionsPerAllocation, ["-1", "0x10"]),
        (.unauthenticatedRate, ["-500"]),
        (.allocationsTotal, ["-1", "1k"]),
        (.channelsPerAllocation, ["-1", "1000001"]),
        (.newPeerRate, ["60", "0/s", "1000001/h", "60/minute", "/s", "1.5/s", "-1/s", "60/min/s", ""]),
        (
            .allocationRate,
            [
                "7", "-1", "101Gbit", "2MB", "2mbit", "1.5", "1.5bit", "1.2345kbit", ".5Mbit", "1.Mbit", "Mbit",
                "2 Mbit", "",
            ]
        ),
        (.userRate, ["100000000001", "18446744073709551616kbit", "1.2.3Mbit", "2Mbit/min"]),
        (.allocationPacketRate, ["-1", "5k", "100000001", "100/s"]),
        (.userPacketRate, ["many"]),
        (.nonceLifetime, ["0", "59", "28801", "9h", "+90", "1.5m", "10 m", "m", "18446744073709551615h"]),
        (.rfc5766ChannelNumbers, ["maybe", "TRUE "]),
        (.dataPlane, ["ebpf", "iouring", "SOCKET"]),
        (.xdpInterface, ["", "an-interface-name-too-long"]),
        (.xdpMode, ["driver", "skb"]),
        (.xdpNextHop, ["arp"]),
        (.xdpRoutes, ["0", "1048577"]),
        (.offloads, ["GRO", "tso", "gro+gso", ""]),
        (.ioUringFeatures, ["SQPOLL", "zerocopy", "bundles", "sqpoll napi"]),
        (.workers, ["0", "-2", "257", "auto"]),
        (.receiveBuffer, ["1", "1M", "3KiB", "2GiB", "64kib"]),
        (.http, ["9090", ":9090", "example.org:80"]),
        (.otlpEndpoint, ["127.0.0.1:4318", "grpc://127.0.0.1", "http://"]),
        (.otlpInterval, ["0", "3601", "15x"]),
        (.logLevel, ["verbose", "INFO"]),
        (.logFormat, ["xml"]),
        (.watchConfig, ["on", "1"]),
        (.alternateServer, ["192.0.2.1", "example.org:3478"]),
        (.drainTimeout, ["8d", "-1", "never"]),
    ]

    @Test("In the environment", arguments: cases)
    func inEnvironment(key: OptionKey, values: [String]) throws {
        for value in values {
            let problems = try Reading(.credentials, environment: [key.environmentName: value]).problems
            #expect(
                problems.contains(
                    "\(key.environmentName): \(key.rawValue) is \"\(value)\"; accepted: \(key.accepted)"),
                "\(problems)")
        }
    }

    @Test("In the file, with the line", arguments: cases)
    func inFile(key: OptionKey, values: [String]) throws {
        for value in values {
            let problems = try Reading(.credentials, yaml: "\n\n\(key.rawValue): \"\(value)\"\n").problems
            #expect(
                problems.contains("FILE:3: \(key.rawValue) is \"\(value)\"; accepted: \(key.accepted)"),
                "\(problems)")
        }
    }

    @Test("On the command line")
    func onCommandLine() throws {
        let problems = try Reading(.credentials + ["--workers", "none", "--relay-ports", "9-1"]).problems
        #expect(
            problems == [
                "--relay-ports: relay-ports is \"9-1\"; accepted: \(OptionKey.relayPorts.accepted)",
                "--workers: workers is \"none\"; accepted: \(OptionKey.workers.accepted)",
            ])
    }

    @Test(
        "Networks say what is wrong with them",
        arguments: [
            ("10.0.0.1/8", "host bits", "10.0.0.0/8"), ("10.0.0.0/33", "prefix", "0 to 32"),
            ("example.org", "", "an IPv4 or IPv6 address"),
        ])
    func networks(value: String, about: String, accepted: String) throws {
        let problems = try Reading(.credentials + ["--deny-peer", value]).problems
        try #require(problems.count == 1)
        #expect(problems[0].hasPrefix("--deny-peer: "))
        #expect(problems[0].contains("\"\(value)\""))
        #expect(problems[0].contains(accepted), "\(about): \(problems[0])")
    }

    @Test("Secrets are not shown")
    func secretsAreNotShown() throws {
        let read = try Reading(
            ["--user", "nocolon-hunter2"], environment: ["RELAYD_USER": "hunter2"], yaml: "auth-secret: ''")
        #expect(
            read.problems.contains("--user: user is a value that is not shown; accepted: \(OptionKey.user.accepted)"))
        #expect(
            read.problems.contains(
                "FILE:1: auth-secret is a value that is not shown; accepted: \(OptionKey.authSecret.accepted)"))
        #expect(!read.problems.contains { $0.contains("hunter2") })
    }

    @Test("All problems are told, not only the first")
    func allProblems() throws {
        let read = try Reading(["--workers", "x"], environment: ["RELAYD_REALM": ""], yaml: "lisen: a\nhttp: b\n")
        #expect(read.problems.count == 5, "\(read.problems)")
    }
}
