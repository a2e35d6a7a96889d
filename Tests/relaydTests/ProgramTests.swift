import Foundation
import Testing

@testable import relayd

@Suite("The built program")
struct ProgramTests {
    @Test("--help names every option and shows examples")
    func help() throws {
        let run = try Program(["--help"])
        #expect(run.status == 0)
        #expect(run.output.contains("relayd --demo"))
        for command in ["run", "check", "doctor", "credentials", "migrate", "options"] {
            #expect(run.output.contains("\n  \(command) "), "\(command) is missing")
        }
        let options = try Program(["run", "--help"]).output
        for key in OptionKey.allCases {
            #expect(options.contains("--\(key.rawValue)"), "\(key.rawValue) is missing")
        }
    }

    @Test("--version")
    func version() throws {
        let run = try Program(["--version"])
        #expect(run.status == 0)
        #expect(run.output.hasPrefix("relayd \(Version.number)"))
    }

    @Test("Without credentials it refuses to start, status 78")
    func noCredentials() throws {
        let run = try Program([])
        #expect(run.status == 78)
        #expect(run.output.isEmpty)
        #expect(run.errors.contains("--user NAME:PASSWORD"))
        #expect(run.errors.contains("--demo"))
    }

    @Test("An unknown flag is wrong usage, status 64, with a guess")
    func unknownFlag() throws {
        let run = try Program(["--relay-adress", "192.0.2.1"])
        #expect(run.status == 64)
        #expect(run.errors.contains("--relay-address"))
    }

    @Test("A relay address that is not ours: status 69, and the address is named")
    func foreignAddress() throws {
        let run = try Program([
            "--user", "alice:secret", "--listen", "127.0.0.1:3999", "--relay-address", "203.0.113.77",
        ])
        #expect(run.status == 69)
        #expect(run.errors.contains("203.0.113.77"))
    }

    @Test("XDP where it cannot run: status 69, the interface and the mend")
    func xdpOnLoopback() throws {
        let run = try Program([
            "--user", "alice:secret", "--listen", "127.0.0.1:3999", "--relay-address", "127.0.0.1", "--data-plane",
            "xdp",
        ])
        #expect(run.status == 69)
        #expect(run.errors.contains("XDP on lo: it carries no Ethernet frames. Choose other addresses"))
    }

    @Test("check: a valid file is shown with the origin of every value, secrets left out")
    func checkValid() throws {
        let file = try TemporaryFile("realm: example.org\nuser: alice:hunter2\nrelay-address: 192.0.2.1\n")
        let run = try Program(
            ["check", "--config", file.path, "--log-level", "debug"], environment: ["RELAYD_WORKERS": "3"])
        #expect(run.status == 0)
        #expect(run.output.contains("valid"))
        #expect(run.output.contains("\nrealm: example.org  # \(file.path):1\n"))
        #expect(run.output.contains("\nlog-level: debug  # --log-level\n"))
        #expect(run.output.contains("\nworkers: 3  # RELAYD_WORKERS\n"))
        #expect(run.output.contains("\nlisten: [\"0.0.0.0:3478\", \"[::]:3478\"]  # default\n"))
        #expect(run.output.contains("\n# user: 1 not shown  (\(file.path):2)\n"))
        #expect(!(run.output + run.errors).contains("hunter2"))
    }

    @Test("check: every problem is told, status 78")
    func checkInvalid() throws {
        let file = try TemporaryFile("lisen: 0.0.0.0:3478\nuser: alice:secret\nworkers: many\n")
        let run = try Program(["check", "--config", file.path])
        #expect(run.status == 78)
        #expect(run.errors.contains("\(file.path):1: there is no key lisen; did you mean listen?"))
        #expect(run.errors.contains("\(file.path):3: workers is \"many\""))
    }

    @Test("check: the file may be named by the environment")
    func checkByEnvironment() throws {
        let file = try TemporaryFile("realm: example.org\nuser: alice:secret\n")
        let run = try Program(["check"], environment: ["RELAYD_CONFIG": file.path])
        #expect(run.status == 0)
        #expect(run.output.contains("realm: example.org"))
    }

    @Test("credentials: text")
    func credentialsText() throws {
        let run = try Program(["credentials", "--auth-secret", "north", "--user-id", "alice", "--lifetime", "1h"])
        #expect(run.status == 0)
        let match = try #require(
            run.output.wholeMatch(of: /username: ([0-9]+):alice\npassword: ([A-Za-z0-9+\/]{27}=)\n/))
        let expiry = try #require(Double(match.1))
        let distance = expiry - Date().timeIntervalSince1970
        #expect((3000...3600).contains(distance))
    }

    @Test("credentials: JSON as iceServers, the secret from a file")
    func credentialsJSON() throws {
        struct Answer: Decodable {
            struct Server: Decodable {
                let urls: [String]
                let username, credential: String
            }
            let iceServers: [Server]
        }
        let file = try TemporaryFile("north\n")
        let uri = "turn:turn.example.org:3478?transport=udp"
        let run = try Program([
            "credentials", "--auth-secret-file", file.path, "--user-id", "a\"b", "--uri", uri, "--format", "json",
        ])
        #expect(run.status == 0)
        let answer = try JSONDecoder().decode(Answer.self, from: Data(run.output.utf8))
        try #require(answer.iceServers.count == 1)
        #expect(answer.iceServers[0].urls == [uri])
        #expect(answer.iceServers[0].username.hasSuffix(":a\"b"))
        #expect(answer.iceServers[0].credential.count == 28)
    }

    @Test("credentials: without a secret it says what to add, status 78")
    func credentialsWithoutSecret() throws {
        let run = try Program(["credentials"])
        #expect(run.status == 78)
        #expect(run.errors.contains("--auth-secret-file FILE"))
    }

    @Test("doctor: every plane has a line")
    func doctor() throws {
        let run = try Program(["doctor", "--listen", "127.0.0.1:3478", "--relay-address", "127.0.0.1"])
        #expect(run.status == 0)
        #expect(run.output.contains("xdp: no:"))
        #expect(run.output.contains("io-uring: "))
        #expect(run.output.contains("socket: yes:"))
        #expect(run.output.contains("lo: no Ethernet"))
        #expect(run.output.contains("capabilities:"))
        #expect(run.output.contains("open files"))
    }

    @Test("A signal ends it with status 0, and while it runs its port is taken", arguments: [SIGTERM, SIGINT])
    func signals(signal: Int32) throws {
        // An address of its own, so that tests beside each other do not meet.
        let address = "127.77.\(signal).\(getpid() % 250 + 1):3478"
        let arguments = [
            "--user", "alice:secret", "--listen", address, "--relay-address", "127.0.0.1", "--workers", "1",
        ]
        let (process, _, errors) = try Program.start(arguments)
        defer { process.terminate() }
        var log = ""
        while !log.contains(" started ") {
            let data = errors.fileHandleForReading.availableData
            try #require(!data.isEmpty, "it ended by itself: \(log)")
            log += String(decoding: data, as: UTF8.self)
        }

        let second = try Program(arguments)
        #expect(second.status == 69)
        #expect(second.errors.contains("UDP \(address)"))
        #expect(second.errors.contains("ss -ulnp"))

        kill(process.processIdentifier, signal)
        log += String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        #expect(process.terminationReason == .exit)
        #expect(process.terminationStatus == 0)
        #expect(log.hasSuffix(" info stopped\n"))
        #expect(!log.contains("secret"))
    }
}
