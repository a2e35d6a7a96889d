import Testing

@testable import relayd

@Suite("The YAML file")
struct ConfigurationFileTests {
    @Test(
        "An unknown key is an error with its line and a guess",
        arguments: [
            (
                "realm: a\nrelay-adress: 192.0.2.1\n",
                "FILE:2: there is no key relay-adress; did you mean relay-address?"
            ),
            (
                "# note\n\nrelay_address: 192.0.2.1\n",
                "FILE:3: there is no key relay_address; did you mean relay-address?"
            ),
            ("lisen: 0.0.0.0:3478\n", "FILE:1: there is no key lisen; did you mean listen?"),
            ("tls-certificate: /etc/cert.pem\n", "FILE:1: there is no key tls-certificate"),
            ("config: /etc/other.yaml\n", "FILE:1: there is no key config"),
        ])
    func unknownKeys(yaml: String, message: String) throws {
        let problems = try Reading(.credentials, yaml: yaml).problems
        #expect(problems == [message])
    }

    @Test(
        "A wrong kind is an error with its line",
        arguments: [
            ("realm:\n  - a\n  - b\n", "FILE:1: realm takes one value"),
            ("workers:\n  count: 2\n", "FILE:1: workers takes one value"),
            ("\nlisten:\n  address: 192.0.2.1\n", "FILE:2: listen takes a value or a list of values"),
            ("deny-peer:\n  - [10.0.0.0/8]\n", "FILE:1: deny-peer takes a value or a list of values"),
        ])
    func wrongKinds(yaml: String, message: String) throws {
        let problems = try Reading(.credentials, yaml: yaml).problems
        #expect(problems == [message])
    }

    @Test("A key that stands twice is an error")
    func duplicates() throws {
        let problems = try Reading(.credentials, yaml: "workers: 1\nrealm: a\nrealm: b\n").problems
        try #require(problems.count == 1)
        #expect(problems[0].hasPrefix("FILE:"))
        #expect(problems[0].hasSuffix(": realm stands twice"))
    }

    @Test("An empty file says nothing and is fine", arguments: ["", "\n", "# only a comment\n", "---\n"])
    func empty(yaml: String) throws {
        #expect(try Reading(.credentials, yaml: yaml).problems.isEmpty)
    }

    @Test("A list or a scalar is no configuration", arguments: ["- realm\n", "realm\n"])
    func noMapping(yaml: String) throws {
        #expect(
            try Reading(.credentials, yaml: yaml).problems == ["FILE: the file must be a list of `key: value` lines"])
    }

    @Test("What is no YAML is told with its line and without what stands there")
    func noYAML() throws {
        let problems = try Reading(.credentials, yaml: "realm: a\nuser: \"alice:hunter2\n").problems
        try #require(problems.count == 1)
        #expect(problems[0].firstMatch(of: #/^FILE:[0-9]+: this is not YAML: /#) != nil)
        #expect(!problems[0].contains("hunter2"))
    }

    @Test(
        "Anchors neither loop nor multiply",
        arguments: [
            "listen: &a [*a]\n", "user: &a\n  - *a\n", "realm: &a {b: *a}\n",
            "a: &a [x, x, x, x, x, x, x, x, x]\n"
                + zip("abcdefghijkl", "bcdefghijklm").map { from, to in
                    "\(to): &\(to) [" + Array(repeating: "*\(from)", count: 9).joined(separator: ", ") + "]\n"
                }.joined(),
        ])
    func anchors(yaml: String) throws {
        #expect(try !Reading(.credentials, yaml: yaml).problems.isEmpty)
    }

    @Test("A file that is not there is told with its path")
    func missing() {
        let file = ConfigurationFile(path: "/nonexistent/relayd.yaml")
        #expect(
            file.problems.map(\.description)
                == ["/nonexistent/relayd.yaml: the file cannot be read: No such file or directory"])
    }
}
