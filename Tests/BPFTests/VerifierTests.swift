import CBPF
import Foundation
import Testing

@testable import DataPlaneXDP

@Suite("What the verifier says", .enabled(if: Kernel.isAvailable, "\(Kernel.reason)"))
struct VerifierTests {
    /// `verifier.txt`: a number for each of these names.
    private static var recorded: [String: Int] {
        get throws {
            let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "verifier.txt")
            let lines = try String(contentsOf: file, encoding: .utf8).split(separator: "\n").filter {
                !$0.hasPrefix("#")
            }
            return Dictionary(
                uniqueKeysWithValues: lines.compactMap { line in
                    let words = line.split(separator: " ")
                    return words.count == 2 ? Int(words[1]).map { (String(words[0]), $0) } : nil
                })
        }
    }

    @Test("Instructions and stack depth are as recorded")
    func budget() throws {
        let program = try XDPProgram(sizes: XDPProgram.Sizes(routes: 1024))
        let log = program.verifierLog
        let processed = try #require(log.firstMatch(of: /processed (\d+) insns/).flatMap { Int($0.1) })
        let stack = try #require(log.firstMatch(of: /stack depth (\d+)/).flatMap { Int($0.1) })
        let size = Int(cbpf_instruction_count(program.program))
        print("verifier: processed \(processed), stack \(stack), size \(size)")
        let recorded = try Self.recorded
        // Other kernels and compilers count a little differently; a change of the program shows all the same.
        for (name, value) in [("processed", processed), ("stack", stack), ("size", size)] {
            let before = try #require(recorded[name], "verifier.txt has no \(name)")
            let difference = abs(value - before) * 100 / before
            #expect(
                difference <= 10, "\(name) was \(before) and is \(value): if that is meant, record it in verifier.txt")
        }
    }
}
