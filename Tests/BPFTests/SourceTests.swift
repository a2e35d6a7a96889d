import CRelayABI
import Foundation
import Testing

@testable import DataPlaneXDP

@Suite("What the program's source must and must not have")
struct SourceTests {
    private static let repository = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    @Test("Nothing is logged and no event is sent")
    func silence() throws {
        let folder = Self.repository.appending(path: "bpf")
        let files = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
            .filter { ["c", "h"].contains($0.pathExtension) }
        #expect(files.count >= 7)
        for file in files {
            let text = try String(contentsOf: file, encoding: .utf8)
            for word in ["printk", "trace_vprintk", "perf_event_output", "ringbuf", "PERF_EVENT_ARRAY"] {
                #expect(!text.contains(word), "\(file.lastPathComponent) has \(word): a packet would wait for it")
            }
        }
    }

    /// `zero_after` of bpf/route.h: an instruction that clears what it was given. Where the compiler sees which state it
    /// is, it gives it a constant, and no read depends on the state any more.
    @Test("What is read of a slot depends on its state, which the compiler has not put a number for")
    func dependency() {
        let (andNumber, moveNumber): (UInt8, [UInt8]) = (0x57, [0xB7, 0xB4])
        let bytes = ProgramObject.bytes
        let masks = stride(from: 8, to: bytes.count - 8, by: 8).filter {
            bytes[$0] == andNumber && bytes[$0 + 1] < 16 && bytes[($0 + 2)..<($0 + 8)].allSatisfy { $0 == 0 }
        }
        #expect(masks.count >= 3, "each look-up has one")
        for mask in masks { #expect(!moveNumber.contains(bytes[mask - 8]), "at byte \(mask)") }
    }

    @Test("Every reason of the ABI is among the statistics, once and by its name; of the paths those twelve that are")
    func names() throws {
        let header = try String(
            contentsOf: Self.repository.appending(path: "Sources/CRelayABI/include/CRelayABI.h"), encoding: .utf8)
        let list = try #require(header.firstMatch(of: /enum relay_reason \{([^}]*)\}/)).1
        let wanted = list.matches(of: /RELAY_(PASS|DROP)_(\w+)/).map { "\($0.1) \($0.2)".lowercased() }
        let names = FrameCount.names
        let reasons = names.filter { $0.index >= RELAY_PATHS.rawValue }
        #expect(reasons.map { "\($0.verdict) \($0.reason)" } == wanted)
        #expect(reasons.map(\.index) == Array(RELAY_PATHS.rawValue..<RELAY_REASONS.rawValue))
        let paths = names.filter { $0.index < RELAY_PATHS.rawValue }
        let channel = RELAY_PATH_IN_CHANNEL.rawValue | RELAY_PATH_OUT_CHANNEL.rawValue
        #expect(paths.map(\.index) == (0..<RELAY_PATHS.rawValue).filter { $0 & channel != 0 })
        #expect(Set(paths.map(\.reason)).count == 12 && paths.allSatisfy { $0.verdict == "forward" })
    }
}
