import Foundation
import PlaneTestKit
import RelayWorker
import STUN
import Testing

/// The same cases on every plane, XDP above each userspace plane included; and the page that they make.
@Suite(.serialized, .enabled(if: TestNamespace.isAllowed, "needs root and network namespaces"))
struct EquivalenceTests {
    @Test func everyPlaneDoesTheSame() throws {
        var observed: [PlaneStack: [String]] = [:]
        for stack in PlaneStack.usable {
            let stage = try RelayStage(stack)
            observed[stack] = EquivalenceCase.all.map { example in
                let text = Result { try example.observe(stage) }
                let found = (try? text.get()) ?? "\(text)"
                #expect(found == example.expects.text(on: stack), "\(stack): \(example.name)")
                return found
            }
            #expect((stage.forwardedInKernel > 100) == stack.forwardsInKernel, "\(stack)")
        }
        try compareWithTheDocumentation(observed)
    }

    /// `RELAYD_WRITE_DOCUMENTATION=1` writes the page anew.
    private func compareWithTheDocumentation(_ observed: [PlaneStack: [String]]) throws {
        guard PlaneStack.allCases.allSatisfy({ observed[$0] != nil }) else {
            print("The page of differences was not compared: this host runs \(PlaneStack.usable) only.")
            return
        }
        let page = DifferencesPage(observed).text
        let file = URL(filePath: #filePath).appending(path: "../../../../docs/plane-differences.md").standardized
        if ProcessInfo.processInfo.environment["RELAYD_WRITE_DOCUMENTATION"] != nil {
            try FileManager.default.createDirectory(
                at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
            try page.write(to: file, atomically: true, encoding: .utf8)
        }
        let committed = try String(contentsOf: file, encoding: .utf8)
        #expect(committed == page, "docs/plane-differences.md is out of date: RELAYD_WRITE_DOCUMENTATION=1 writes it")
    }
}
