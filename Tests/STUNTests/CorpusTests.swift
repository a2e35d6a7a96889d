import Foundation
import STUN
import Testing

/// Replays what the fuzzers of `Fuzz/` have found worth keeping, through the code that they call.
@Suite("The fuzzers' corpus")
struct CorpusTests {
    @Test("Messages")
    func messages() throws {
        var exercise = Exercise()
        for (name, bytes) in try corpus("message") {
            if let complaint = exercise.message(bytes.span.bytes) { Issue.record("\(name): \(complaint)") }
        }
        let acceptedCount = exercise.acceptedCount
        #expect(acceptedCount >= 10)
    }

    @Test("ChannelData")
    func channelData() throws {
        var exercise = Exercise()
        for (name, bytes) in try corpus("channeldata") {
            if let complaint = exercise.channelData(bytes.span.bytes) { Issue.record("\(name): \(complaint)") }
        }
        let acceptedCount = exercise.acceptedCount
        #expect(acceptedCount >= 1)
    }

    private func corpus(_ name: String) throws -> [(name: String, bytes: [UInt8])] {
        let package = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../..")
        let folder = package.appending(path: "Fuzz/corpus/\(name)")
        return try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
            .map { ($0.lastPathComponent, Array(try Data(contentsOf: $0))) }
    }
}
