import Testing

@testable import relayd

@Suite("--auth-secret-file")
struct SecretFileTests {
    @Test("One secret a line, trimmed, blank lines left out")
    func lines() throws {
        let file = try TemporaryFile("  first \n\n\tsecond\r\nthird with spaces\n\n")
        #expect(try SecretFile.read(file.path, for: .authSecretFile) == ["first", "second", "third with spaces"])
    }

    @Test("Together with --auth-secret: both hold")
    func together() throws {
        let file = try TemporaryFile("from file\n")
        let read = try Reading(["--auth-secret", "from flag", "--auth-secret-file", file.path])
        #expect(read.problems.isEmpty)
        #expect(read.settings.authSecrets == ["from flag", "from file"])
    }

    @Test("A file that others can read or write is refused", arguments: [0o604, 0o644, 0o602])
    func modes(mode: Int) throws {
        let file = try TemporaryFile("hunter2\n", mode: mode)
        let problems = try Reading(["--auth-secret-file", file.path]).problems
        #expect(problems.contains { $0.contains("chmod o-rwx \(file.path)") })
        #expect(!problems.contains { $0.contains("hunter2") })
    }

    @Test("A file for owner and group is fine", arguments: [0o400, 0o640])
    func ownerAndGroup(mode: Int) throws {
        let file = try TemporaryFile("secret\n", mode: mode)
        #expect(try Reading(["--auth-secret-file", file.path]).problems.isEmpty)
    }

    @Test("An empty or missing file is refused")
    func emptyOrMissing() throws {
        let file = try TemporaryFile(" \n\n")
        #expect(
            try Reading(["--auth-secret-file", file.path]).problems.contains { $0.contains("has no secret in it") })
        #expect(
            try Reading(["--auth-secret-file", "/nonexistent"]).problems
                .contains("auth-secret-file: /nonexistent cannot be read: No such file or directory"))
    }
}
