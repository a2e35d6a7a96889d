/// The options of a turnserver.conf, in order: `name`, `name=value` or `name value` a line, `#` before a comment.
struct CoturnFile {
    struct Entry: Equatable {
        let name: String
        /// Empty for a bare flag.
        let value: String
        /// From 1.
        let line: Int

        /// Whether a flag is on: bare, or with a value that does not say no.
        var isOn: Bool { !["0", "n", "no", "f", "false", "off"].contains(value.lowercased()) }
    }

    let entries: [Entry]

    init(_ text: String) {
        entries = text.split(separator: "\n", omittingEmptySubsequences: false).enumerated().compactMap {
            number, line in
            Self.entry(String(line), number + 1)
        }
    }

    /// The value of an option that stands once; the last one counts.
    func value(_ name: String) -> String? { entries.last { $0.name == name && !$0.value.isEmpty }?.value }

    func values(_ name: String) -> [String] { entries.filter { $0.name == name && !$0.value.isEmpty }.map(\.value) }

    func has(_ name: String) -> Bool { entries.contains { $0.name == name && $0.isOn } }

    private static func entry(_ line: String, _ number: Int) -> Entry? {
        let text = trimmed(line)[...].drop { $0 == "-" }
        guard !text.isEmpty, text.first != "#" else { return nil }
        let end = text.firstIndex { $0 == "=" || $0.isWhitespace } ?? text.endIndex
        let name = String(text[..<end])
        // `name = value` has spaces round the sign.
        var value = text[end...].drop { $0.isWhitespace }
        if value.first == "=" { value = value.dropFirst() }
        return Entry(name: name, value: cleaned(String(value), of: name), line: number)
    }

    /// Without white space, quotes and, where no password can hold a `#`, a comment behind it.
    private static func cleaned(_ value: String, of name: String) -> String {
        var value = trimmed(value)
        if !["user", "static-auth-secret", "cli-password", "pkey-pwd"].contains(name) {
            if value.first == "#" { return "" }
            if let comment = value.firstRange(of: " #") { value = trimmed(String(value[..<comment.lowerBound])) }
        }
        let isQuoted = value.count >= 2 && value.first == "\"" && value.last == "\""
        return isQuoted ? String(value.dropFirst().dropLast()) : value
    }

    private static func trimmed(_ text: String) -> String {
        String(text.drop { $0.isWhitespace }.reversed().drop { $0.isWhitespace }.reversed())
    }
}
