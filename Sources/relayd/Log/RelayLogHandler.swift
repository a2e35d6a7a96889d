import FoundationEssentials
import Logging

/// One line an event: `2026-11-21T08:00:00.123Z info allocation created client=192.0.2.7:5000 user=alice`, or the same
/// as a JSON object. Values are escaped, so that nobody's user name can forge a line.
struct RelayLogHandler: LogHandler {
    let format: Settings.LogFormat
    let writer: LogWriter
    private let threshold: LogThreshold
    var metadata: Logger.Metadata = [:]
    var metadataProvider: Logger.MetadataProvider?

    /// - Parameter threshold: shared by all loggers.
    init(format: Settings.LogFormat, threshold: LogThreshold, writer: LogWriter) {
        self.format = format
        self.writer = writer
        self.threshold = threshold
    }

    var logLevel: Logger.Level {
        get { threshold.level }
        set { threshold.level = newValue }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let fields = metadata.merging(event.metadata ?? [:]) { $1 }.map { (key: $0.key, value: LogValue($0.value)) }
            .sorted { $0.key < $1.key }
        writer.write(
            LogLine(time: Date(), level: event.level, event: "\(event.message)", fields: fields).written(
                as: format, toJournal: writer.isJournal))
    }
}

/// One event, ready to be written.
struct LogLine {
    let time: Date
    let level: Logger.Level
    let event: String
    let fields: [(key: String, value: LogValue)]

    /// - Parameter toJournal: the journal takes the severity of text from a prefix; JSON says it anyway.
    func written(as format: Settings.LogFormat, toJournal: Bool = false) -> String {
        let stamp = time.formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
        switch format {
        case .text:
            let pairs = fields.map { " \($0.key)=\(Self.textValue($0.value.description))" }.joined()
            let prefix = toJournal ? "<\(Journal.priority(of: level))>" : ""
            return "\(prefix)\(stamp) \(level.rawValue) \(Self.escaped(event))\(pairs)"
        case .json:
            let first: [(key: String, value: LogValue)] = [
                ("ts", .text(stamp)), ("level", .text(level.rawValue)), ("event", .text(event)),
            ]
            let pairs = (first + fields).map { "\"\(Self.escaped($0.key))\":\(Self.jsonValue($0.value))" }
            return "{" + pairs.joined(separator: ",") + "}"
        }
    }

    private static func jsonValue(_ value: LogValue) -> String {
        switch value {
        case .text(let text): "\"\(escaped(text))\""
        case .number(let number): number
        }
    }

    /// A value that has nothing odd in it stands bare, any other in quotes.
    private static func textValue(_ value: String) -> String {
        let isPlain =
            !value.isEmpty
            && value.unicodeScalars.allSatisfy {
                $0.isASCII && $0.value > 0x20 && $0 != "\"" && $0 != "=" && $0 != "\\" && $0.value != 0x7F
            }
        return isPlain ? value : "\"\(escaped(value))\""
    }

    /// As in a JSON string (RFC 8259 section 7); everything that is not plain text becomes an escape.
    private static func escaped(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case _
            where scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value)
                || (0x2028...0x202E).contains(scalar.value):
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
