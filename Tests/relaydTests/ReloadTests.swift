import ArgumentParser
import Foundation
import Synchronization
import Testing

@testable import relayd

@Suite("What a reload applies")
struct ReloadTests {
    private func read(_ yaml: String) throws -> LoadedSettings {
        let file = try TemporaryFile(yaml)
        return LoadedSettings(try CommandLineOptions.parse(["--config", file.path]))
    }

    @Test("Each key is applied or waits for a restart, as the reference says", arguments: OptionKey.allCases)
    func everyKey(key: OptionKey) throws {
        let base = "user: bob:hidden\n"
        let value = OptionKey.sample(of: key)
        let file = try TemporaryFile(key == .otlpCAFile ? "-----BEGIN CERTIFICATE-----\n" : "north\n")
        let namesFile = OptionKey.ofFiles.contains(key)
        let line = namesFile ? "\(key.rawValue): \(file.path)" : "\(key.rawValue): '\(value)'"
        let started = try read(base)
        let new = try read(key == .user ? line : base + line)
        let merged = started.settings.reloading(new.settings)
        #expect("\(new.settings)" != "\(started.settings)")
        #expect("\(merged)" == (key.isReloadable ? "\(new.settings)" : "\(started.settings)"))
        let changes = OptionChange.all(from: started, startedAs: started, to: new).map(\.key)
        // A file of secrets changes the secrets, too.
        #expect(changes == (key == .authSecretFile ? [.authSecret, .authSecretFile] : [key]))
    }

    @Test("The difference is told by name, and no secret with it")
    func difference() throws {
        let old = try read(
            """
            user: [alice:one, bob:two, carol:three]
            auth-secret: [north, south]
            deny-peer: [10.0.0.0/8, 192.0.2.0/24]
            log-level: info
            workers: 2
            """)
        let new = try read(
            """
            user: [alice:one, bob:other, dave:four]
            auth-secret: [south, west, east]
            deny-peer: [192.0.2.0/24, 198.51.100.0/24]
            log-level: debug
            workers: 4
            """)
        let changes = OptionChange.all(from: old, startedAs: old, to: new)
        #expect(
            changes == [
                OptionChange(key: .user, details: ["added": "dave", "removed": "carol", "changed": "bob"]),
                OptionChange(key: .authSecret, details: ["added": "2", "removed": "1"]),
                OptionChange(key: .denyPeer, details: ["added": "198.51.100.0/24", "removed": "10.0.0.0/8"]),
                OptionChange(key: .workers, details: ["from": "2", "to": "4"]),
                OptionChange(key: .logLevel, details: ["from": "info", "to": "debug"]),
            ])
        // Applied and told once; what waits for a restart is told until it is done or undone.
        #expect(OptionChange.all(from: new, startedAs: old, to: new).map(\.key) == [.workers])
        #expect(OptionChange.all(from: old, startedAs: old, to: old).isEmpty)
    }

    @Test("A default that is written down is no change")
    func writtenDefault() throws {
        let old = try read("user: a:b")
        let new = try read("user: a:b\nlog-level: info\nlisten: ['0.0.0.0:3478', '[::]:3478']\n")
        #expect(OptionChange.all(from: old, startedAs: old, to: new).isEmpty)
    }
}

@Suite("Watching the configuration")
struct ConfigWatchTests {
    private final class Count: Sendable {
        let value = Atomic(0)
    }

    /// A folder with a file, watched.
    private final class Watched {
        let folder: URL
        let changes = Count()
        var watch: ConfigWatch?

        init() throws {
            folder = FileManager.default.temporaryDirectory.appending(path: "relayd-watch-\(UUID())")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        }

        var file: URL { folder.appending(path: "relayd.yaml") }

        func start() throws {
            let changes = changes
            watch = try ConfigWatch([file.path]) { changes.value.add(1, ordering: .relaxed) }
        }

        func write(_ text: String, to url: URL? = nil) throws {
            try text.write(to: url ?? file, atomically: false, encoding: .utf8)
        }

        /// Waits until so many changes were told, 10 s at most.
        func waits(for wanted: Int) async throws -> Bool {
            for _ in 0..<500 {
                if changes.value.load(ordering: .relaxed) >= wanted { return true }
                try await Task.sleep(for: .milliseconds(20))
            }
            return false
        }

        deinit {
            watch = nil
            try? FileManager.default.removeItem(at: folder)
        }
    }

    @Test("A file written in place, one put in its place, one that goes and comes back")
    func changes() async throws {
        let watched = try Watched()
        try watched.write("one")
        try watched.start()
        try watched.write("two")
        #expect(try await watched.waits(for: 1))
        let other = watched.folder.appending(path: "new")
        try watched.write("three", to: other)
        #expect(rename(other.path, watched.file.path) == 0)
        #expect(try await watched.waits(for: 2))
        try FileManager.default.removeItem(at: watched.file)
        #expect(try await watched.waits(for: 3))
        try watched.write("four")
        #expect(try await watched.waits(for: 4))
    }

    @Test("A link of a ConfigMap that is turned round")
    func configMap() async throws {
        let watched = try Watched()
        for (version, text) in [("v1", "one"), ("v2", "two")] {
            let folder = watched.folder.appending(path: version)
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            try watched.write(text, to: folder.appending(path: "relayd.yaml"))
        }
        let manager = FileManager.default
        let data = watched.folder.appending(path: "..data").path
        try manager.createSymbolicLink(atPath: data, withDestinationPath: "v1")
        try manager.createSymbolicLink(atPath: watched.file.path, withDestinationPath: "..data/relayd.yaml")
        try watched.start()
        let next = watched.folder.appending(path: "..next").path
        try manager.createSymbolicLink(atPath: next, withDestinationPath: "v2")
        #expect(rename(next, data) == 0)
        #expect(try await watched.waits(for: 1))
    }

    @Test("What leaves the content as it is is no change")
    func sameContent() async throws {
        let watched = try Watched()
        try watched.write("one")
        try watched.start()
        try watched.write("one")
        try watched.write("else", to: watched.folder.appending(path: "neighbour"))
        try await Task.sleep(for: .milliseconds(600))
        #expect(watched.changes.value.load(ordering: .relaxed) == 0)
        try watched.write("two")
        #expect(try await watched.waits(for: 1))
    }
}
