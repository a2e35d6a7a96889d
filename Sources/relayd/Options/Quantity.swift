import RelayCore

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

    /// Bits a second from `64000`, `800kbit`, `1.5Mbit` or `1Gbit`, powers of ten, with or without `/s`; nothing where the
    /// text is none of these, is too large, or names a part of a bit.
    static func bitsPerSecond(_ text: String) -> UInt64? {
        var number = text[...]
        var zeros = 0
        for (suffix, exponent) in [("kbit", 3), ("Mbit", 6), ("Gbit", 9), ("bit", 0)] {
            guard let end = ["\(suffix)/s", suffix].first(where: { text.hasSuffix($0) }) else { continue }
            (number, zeros) = (number.dropLast(end.count), exponent)
            break
        }
        let parts = number.split(separator: ".", omittingEmptySubsequences: false)
        let fraction = parts.count > 1 ? parts[1] : ""
        guard parts.count == 1 || parts.count == 2 && !fraction.isEmpty, !parts[0].isEmpty, fraction.count <= zeros
        else { return nil }
        return read(parts[0] + fraction + String(repeating: "0", count: zeros - fraction.count), units: [])
    }

    /// A number and a time, from `60/min`, `5/s` or `1000/h`.
    static func countPerSeconds(_ text: String) -> (count: UInt64, seconds: UInt32)? {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        let times: [Substring: UInt32] = ["s": 1, "min": 60, "h": 3600]
        guard parts.count == 2, let seconds = times[parts[1]], let count = read(String(parts[0]), units: []) else {
            return nil
        }
        return (count, seconds)
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

extension PeerRate {
    /// `60/min`, `5/s`, `1000/h`, or `0` for no limit.
    init?(_ text: String) {
        if text == "0" {
            self = .none
        } else if let rate = Quantity.countPerSeconds(text), (1...1_000_000).contains(rate.count) {
            self.init(count: UInt32(rate.count), seconds: rate.seconds)
        } else {
            return nil
        }
    }
}
