/// Values written as YAML.
enum YAMLText {
    /// One scalar: plain where that means the same to every reader, else in double quotes.
    static func scalar(_ text: String) -> String {
        let plain = text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "/"), UInt8(ascii: "_"),
                UInt8(ascii: "-"):
                true
            default: false
            }
        }
        // YAML 1.1 reads these as something other than text.
        let words = ["null", "yes", "no", "on", "off", "y", "n", ""]
        let isPlain = plain && !words.contains(text.lowercased()) && text.first != "-" && text.first != "."
        return isPlain ? text : "\"\(escaped(text))\""
    }

    /// A value of a key: a scalar, or a flow sequence for a list of several.
    static func value(_ values: [String], of key: OptionKey) -> String {
        guard key.shape == .list else { return scalar(values.first ?? "") }
        return "[\(values.map(scalar).joined(separator: ", "))]"
    }

    /// Text for a comment: one line, whatever stands in it.
    static func comment(_ text: String) -> String {
        String(text.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7F ? "?" : Character($0) })
    }

    private static func escaped(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\t": result += "\\t"
            case _ where scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value):
                let digits = String(scalar.value, radix: 16)
                result += "\\x" + (digits.count < 2 ? "0" : "") + digits
            case _ where (0x2028...0x2029).contains(scalar.value) || scalar.value == 0xFEFF:
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
