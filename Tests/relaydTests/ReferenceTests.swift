import Testing

@testable import relayd

@Suite("The reference, from the one list of keys")
struct ReferenceTests {
    @Test(
        "What is committed is what the program prints",
        arguments: [
            ("markdown", "docs/configuration.md"), ("man", "deploy/man/relayd.8"), ("yaml", "deploy/relayd.yaml"),
        ])
    func committed(format: String, path: String) throws {
        let printed = try Program(["options", "--format", format])
        #expect(printed.status == 0)
        #expect(try Repository.text(path) == printed.output, "relayd options --format \(format) > \(path)")
    }

    @Test("Every key is in all three")
    func complete() {
        for key in OptionKey.allCases {
            #expect(MarkdownReference.text.contains("### `\(key.rawValue)`"))
            #expect(ManualPage.text.contains(key.rawValue.replacing("-", with: #"\-"#)))
            #expect(key == .demo || SampleConfiguration.text.contains("\n#\(key.rawValue): "))
        }
    }

    @Test("Every default is accepted, and means what is not said")
    func defaults() throws {
        let plain = try Reading(.credentials)
        for key in OptionKey.allCases {
            guard let values = key.defaultValues else { continue }
            let read = try Reading(.credentials, yaml: "\(key.rawValue): \(YAMLText.value(values, of: key))")
            #expect(read.problems.isEmpty, "\(key.rawValue): \(read.problems)")
            #expect("\(read.settings)" == "\(plain.settings)", "\(key.rawValue)")
        }
    }

    @Test("The file to begin with is a configuration, with every line of a key taken in as well")
    func sample() throws {
        #expect(try Reading(.credentials, yaml: SampleConfiguration.text).problems.isEmpty)
        let lines = SampleConfiguration.text.split(separator: "\n").filter { $0.hasPrefix("#") && !$0.hasPrefix("# ") }
        #expect(lines.count == OptionKey.allCases.count - 1)
        for line in lines where !line.hasPrefix("#auth-secret-file") {
            let problems = try Reading(.credentials, yaml: String(line.dropFirst())).problems
            #expect(!problems.contains { $0.contains("accepted") || $0.contains("there is no key") }, "\(problems)")
        }
    }
}

@Suite("What relayd check prints")
struct EffectiveOptionsTests {
    @Test("It is YAML that means the same, but for the secrets")
    func isConfiguration() throws {
        let excluded = OptionKey.ofFiles.union([.demo])
        let flags = OptionKey.allCases.filter { !excluded.contains($0) }.flatMap { key in
            key.shape == .flag ? ["--\(key.rawValue)"] : ["--\(key.rawValue)", OptionKey.sample(of: key)]
        }
        let first = try Reading(flags)
        #expect(first.problems.isEmpty)
        let printed = EffectiveOptions(first.layers).lines.joined(separator: "\n")
        #expect(!printed.contains("secret\""))
        let again = try Reading(["--user", "alice:secret", "--auth-secret", "secret"], yaml: printed)
        #expect(again.problems.isEmpty, "\(again.problems)")
        #expect("\(again.settings)" == "\(first.settings)")
    }

    @Test(
        "Odd values come back as they were",
        arguments: [
            "a: b", "#x", "- y", "\"quoted\" \\", "yes", "null", "~", "tab\tnew\nline\u{7}", "ümläut \u{2028}", "1_000",
            "*a", "-",
        ])
    func oddValues(text: String) throws {
        let first = try Reading(.credentials + ["--realm=\(text)"])
        #expect(first.settings.realm == text)
        let printed = EffectiveOptions(first.layers).lines.joined(separator: "\n")
        #expect(try Reading(.credentials, yaml: printed).settings.realm == text)
    }
}
