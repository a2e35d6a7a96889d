/// What stands behind the question mark of a path: names and values (RFC 3986 section 3.4, percent-encoded).
struct Query {
    private(set) var values: [String: String] = [:]

    /// Nothing if a name stands twice or a value is no text.
    init?(_ path: String) {
        guard let mark = path.firstIndex(of: "?") else { return }
        for part in path[path.index(after: mark)...].split(separator: "&") {
            let sides = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = Self.decoded(sides[0]), let value = Self.decoded(sides.count > 1 ? sides[1] : ""),
                values.updateValue(value, forKey: name) == nil
            else { return nil }
        }
    }

    /// A path with a query; values that are nothing are left out.
    static func path(_ path: String, _ values: [(name: String, value: String?)]) -> String {
        let parts = values.compactMap { entry in entry.value.map { "\(entry.name)=\(encoded($0))" } }
        return parts.isEmpty ? path : path + "?" + parts.joined(separator: "&")
    }

    static func decoded(_ text: some StringProtocol) -> String? {
        var bytes: [UInt8] = []
        var rest = text.utf8.makeIterator()
        while let byte = rest.next() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = rest.next().flatMap(hexadecimal), let low = rest.next().flatMap(hexadecimal) else {
                return nil
            }
            bytes.append(high << 4 | low)
        }
        return String(validating: bytes, as: UTF8.self)
    }

    static func encoded(_ text: String) -> String {
        var result = ""
        for byte in text.utf8 {
            let scalar = Unicode.Scalar(byte)
            if scalar.properties.isAlphabetic && scalar.isASCII || "0123456789-._~:".unicodeScalars.contains(scalar) {
                result.unicodeScalars.append(scalar)
            } else {
                result += byte < 16 ? "%0" : "%"
                result += String(byte, radix: 16, uppercase: true)
            }
        }
        return result
    }

    private static func hexadecimal(_ byte: UInt8) -> UInt8? {
        Character(Unicode.Scalar(byte)).hexDigitValue.map(UInt8.init)
    }
}
