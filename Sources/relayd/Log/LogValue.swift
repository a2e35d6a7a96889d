import Logging

/// What a field of a line says: text, or a number, which JSON writes without quotes.
enum LogValue: Sendable, Equatable, ExpressibleByStringLiteral, CustomStringConvertible {
    case text(String)
    case number(String)

    init(stringLiteral text: String) { self = .text(text) }

    init(_ value: Logger.Metadata.Value) {
        switch value {
        case .stringConvertible(let number) where number is any FixedWidthInteger: self = .number("\(number)")
        case .stringConvertible(let number as Double) where number.isFinite: self = .number("\(number)")
        default: self = .text("\(value)")
        }
    }

    var description: String {
        switch self {
        case .text(let text), .number(let text): text
        }
    }
}

extension Logger.MetadataValue {
    /// A field that is a number.
    static func number(_ value: some FixedWidthInteger & Sendable & CustomStringConvertible) -> Self {
        .stringConvertible(value)
    }
}
