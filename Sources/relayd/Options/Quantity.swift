/// Quantities as people write them, with the unit behind the number: `10m`, `64KiB`.
enum Quantity {
    /// Seconds from `3600`, `90s`, `15m`, `24h` or `7d`; nothing where the text is none of these or too large.
    static func seconds(_ text: String) -> UInt64? {
        read(text, units: [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)])
    }

    /// Bytes from `4096`, `64KiB`, `1MiB` or `1GiB`.
    static func bytes(_ text: String) -> UInt64? {
        read(text, units: [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)])
    }

    private static func read(_ text: String, units: [(suffix: String, factor: UInt64)]) -> UInt64? {
        let unit = units.first { text.hasSuffix($0.suffix) }
        let digits = text.dropLast(unit?.suffix.count ?? 0)
        // `UInt64(_:)` also takes a sign, which no quantity has.
        guard !digits.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = UInt64(digits)
        else {
            return nil
        }
        let (product, overflow) = number.multipliedReportingOverflow(by: unit?.factor ?? 1)
        return overflow ? nil : product
    }
}
