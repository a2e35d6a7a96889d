/// The documentation of where planes differ, made of what was observed.
struct DifferencesPage {
    let text: String

    init(_ observed: [PlaneStack: [String]]) {
        let groups = Self.groups(observed)
        var lines = Self.head
        for group in groups where group.isDifference {
            let cells = [.xdpOverSocket, .xdpOverIOUring, .ioUring, .socket].map { group.texts[$0] ?? "" }
            lines.append("| \(group.title) | \(cells.joined(separator: " | ")) |")
        }
        lines += Self.middle
        for group in groups where !group.isDifference {
            lines.append("| \(group.title) | \(group.texts[.socket] ?? "") | \(group.rule) |")
        }
        text = lines.joined(separator: "\n") + "\n"
    }

    /// Cases that differ in nothing but the way: one row.
    private struct Group {
        let subject: String
        let rule: String
        let texts: [PlaneStack: String]
        let isDifference: Bool
        var ways: [String]

        /// The ways by name where there are few.
        var title: String {
            switch ways.count {
            case 0: subject
            case 1, 2: "\(subject): \(ways.joined(separator: "; "))"
            default: "\(subject) (\(ways.count) ways)"
            }
        }
    }

    private static func groups(_ observed: [PlaneStack: [String]]) -> [Group] {
        var groups: [Group] = []
        for (index, example) in EquivalenceCase.all.enumerated() {
            let texts = observed.mapValues { $0[index] }
            let known = groups.firstIndex {
                $0.subject == example.subject && $0.rule == example.rule && $0.texts == texts
                    && $0.isDifference == example.isDifference
            }
            if let known {
                groups[known].ways += [example.way].compactMap(\.self)
            } else {
                groups.append(
                    Group(
                        subject: example.subject, rule: example.rule, texts: texts, isDifference: example.isDifference,
                        ways: [example.way].compactMap(\.self)))
            }
        }
        return groups
    }

    private static let head = [
        "# Where the data planes differ", "",
        "Made by the conformance tests from what they observed on the wire:",
        "`RELAYD_WRITE_DOCUMENTATION=1 swift test --filter EquivalenceTests` writes it anew. Sockets compose a new packet, and",
        "so decide some header fields themselves; the XDP program rewrites the packet that came (RFC 8656 section 14). A way",
        "is a combination of address families and of directions.", "",
        "| what comes in | xdp over socket | xdp over io-uring | io-uring | socket |", "|---|---|---|---|---|",
    ]

    private static let middle = [
        "", "# What is the same on every plane", "",
        "What the kernel half leaves alone (fragments, padding, indications, unknown channels) goes to the userspace plane",
        "below it.", "", "| what comes in | what becomes of it | rule |", "|---|---|---|",
    ]
}

extension EquivalenceCase {
    fileprivate var isDifference: Bool {
        if case .differs = expects { true } else { false }
    }
}
