import Testing

@testable import relayd

@Suite("Options that make no sense together")
struct ContradictionTests {
    @Test("No credentials: says which flags to add, and mentions the demo")
    func noCredentials() throws {
        let problems = try Reading().problems
        try #require(problems.count == 1)
        for flag in ["--user NAME:PASSWORD", "--auth-secret-file FILE", "--demo"] {
            #expect(problems[0].contains(flag))
        }
    }

    private static let cases: [(flags: String, about: String)] = [
        ("--relay-address 192.0.2.1 --external-address 2001:db8::1", "external-address"),
        (
            "--relay-address 192.0.2.1 --external-address 198.51.100.1 --external-address 198.51.100.2",
            "external-address"
        ),
        ("--listen 192.0.2.1:50000", "listen"),
        ("--listen 0.0.0.0:3478 --listen 0.0.0.0:3478", "listen"),
        ("--listen 192.0.2.1:0", "port other than 0"),
        ("--http 127.0.0.1:0", "port other than 0"),
        ("--relay-address 0.0.0.0", "relay-address"),
        ("--relay-address ::", "relay-address"),
        ("--relay-address 192.0.2.1 --relay-address 192.0.2.1", "relay-address"),
        ("--user alice:other", "user"),
        ("--demo", "demo"),
    ]

    @Test("Each is told", arguments: cases)
    func told(flags: String, about: String) throws {
        let problems = try Reading(.credentials + flags.split(separator: " ").map(String.init)).problems
        try #require(problems.count == 1, "\(problems)")
        #expect(problems[0].contains(about), "\(problems)")
    }

    @Test(
        "A single value that is given twice is an error, not a quiet choice",
        arguments: ["--peer-profile public --peer-profile private-network", "--realm a --realm b"])
    func twice(flags: String) throws {
        let problems = try Reading(.credentials + flags.split(separator: " ").map(String.init)).problems
        try #require(problems.count == 1, "\(problems)")
        #expect(problems[0].contains("give it once"), "\(problems)")
    }

    @Test(
        "What belongs together is fine",
        arguments: [
            "--relay-address 192.0.2.1 --external-address 198.51.100.1",
            "--relay-address 192.0.2.1 --relay-address 2001:db8::1 --external-address 198.51.100.1",
            "--relay-address 192.0.2.1 --relay-address 192.0.2.2 --external-address 198.51.100.1 "
                + "--external-address 198.51.100.2",
            "--listen 192.0.2.1:3478 --listen 192.0.2.2:3478", "--user bob:secret",
            "--listen 192.0.2.1:50000 --relay-ports 51000-52000 --http 192.0.2.1:50000",
        ])
    func fine(flags: String) throws {
        #expect(try Reading(.credentials + flags.split(separator: " ").map(String.init)).problems.isEmpty)
    }

    @Test("A demo needs nothing else")
    func demo() throws {
        let read = try Reading(["--demo"])
        #expect(read.problems.isEmpty)
        #expect(read.settings.isDemo)
    }
}
