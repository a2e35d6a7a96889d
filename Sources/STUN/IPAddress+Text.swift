extension IPAddress {
    /// An address from its text: four decimal numbers without leading zeros (some readers take those for octal), or
    /// any form of RFC 4291 section 2.2. No zone, no prefix length, no white space.
    public init?(_ text: some StringProtocol) {
        let characters = Array(text.utf8)
        if let bits = dottedQuad(characters[...]) {
            self.init(v4: bits)
        } else if let (high, low) = v6Halves(characters) {
            self.init(v6High: high, low: low)
        } else {
            return nil
        }
    }
}

extension IPAddress: CustomStringConvertible {
    /// Dotted decimal, or the form that RFC 5952 recommends.
    public var description: String {
        switch family {
        case .ipv4: dottedDecimal(UInt32(truncatingIfNeeded: low))
        case .ipv6: v6Description
        }
    }

    private var v6Description: String {
        // RFC 5952 section 5: the prefix says that the rest is an IPv4 address.
        if high == 0, low >> 32 == 0xFFFF { return "::ffff:" + dottedDecimal(UInt32(truncatingIfNeeded: low)) }
        let groups = (0..<8).map { index in
            UInt16(truncatingIfNeeded: (index < 4 ? high : low) >> UInt64((3 - index % 4) * 16))
        }
        let hexadecimal = groups.map { String($0, radix: 16) }
        guard let zeros = longestZeroRun(groups) else { return hexadecimal.joined(separator: ":") }
        let (head, tail) = (hexadecimal[..<zeros.lowerBound], hexadecimal[zeros.upperBound...])
        return head.joined(separator: ":") + "::" + tail.joined(separator: ":")
    }
}

extension TransportAddress {
    /// A transport address from its text: `192.0.2.1:3478` or `[2001:db8::1]:3478`. The port is 0 to 65535, without
    /// leading zeros.
    public init?(_ text: some StringProtocol) {
        guard let colon = text.lastIndex(of: ":") else { return nil }
        let host = text[..<colon]
        guard let port = decimal(Array(text[text.index(after: colon)...].utf8)[...], most: 0xFFFF) else { return nil }
        let isBracketed = host.first == "[" && host.last == "]" && host.count >= 2
        guard let ip = IPAddress(isBracketed ? host.dropFirst().dropLast() : host),
            isBracketed == (ip.family == .ipv6)
        else { return nil }
        self.init(ip, port: UInt16(port))
    }
}

extension TransportAddress: CustomStringConvertible {
    /// `192.0.2.1:3478` or `[2001:db8::1]:3478`.
    public var description: String {
        switch family {
        case .ipv4: "\(ip):\(port)"
        case .ipv6: "[\(ip)]:\(port)"
        }
    }
}

private func dottedDecimal(_ bits: UInt32) -> String {
    "\(bits >> 24).\(bits >> 16 & 0xFF).\(bits >> 8 & 0xFF).\(bits & 0xFF)"
}

/// Where the longest run of two zeros or more is, the first of several (RFC 5952 section 4.2).
private func longestZeroRun(_ groups: [UInt16]) -> Range<Int>? {
    var longest = 0..<0
    var start = 0
    for (index, group) in groups.enumerated() {
        if group != 0 {
            start = index + 1
        } else if index + 1 - start > longest.count {
            longest = start..<index + 1
        }
    }
    return longest.count >= 2 ? longest : nil
}

/// A number of one to five decimal digits, at most `most`.
private func decimal(_ characters: ArraySlice<UInt8>, most: UInt32) -> UInt32? {
    guard (1...5).contains(characters.count), characters.count == 1 || characters.first != UInt8(ascii: "0") else {
        return nil
    }
    var number: UInt32 = 0
    for character in characters {
        guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(character) else { return nil }
        number = number * 10 + UInt32(character - UInt8(ascii: "0"))
    }
    return number <= most ? number : nil
}

private func dottedQuad(_ characters: ArraySlice<UInt8>) -> UInt32? {
    let parts = characters.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    guard parts.count == 4 else { return nil }
    var bits: UInt32 = 0
    for part in parts {
        guard let number = decimal(part, most: 0xFF) else { return nil }
        bits = bits << 8 | number
    }
    return bits
}

private func v6Halves(_ characters: [UInt8]) -> (high: UInt64, low: UInt64)? {
    let colon = UInt8(ascii: ":")
    let compression = characters.indices.dropLast().first { characters[$0] == colon && characters[$0 + 1] == colon }
    let groups: [UInt16]
    if let compression {
        guard let head = v6Groups(characters[..<compression], mayEndInV4: false),
            let tail = v6Groups(characters[(compression + 2)...], mayEndInV4: true),
            head.count + tail.count <= 7
        else { return nil }
        groups = head + Array(repeating: 0, count: 8 - head.count - tail.count) + tail
    } else {
        guard let all = v6Groups(characters[...], mayEndInV4: true), all.count == 8 else { return nil }
        groups = all
    }
    let half = { (part: ArraySlice<UInt16>) in part.reduce(UInt64(0)) { $0 << 16 | UInt64($1) } }
    return (half(groups[..<4]), half(groups[4...]))
}

/// The groups between single colons; none of an empty text.
private func v6Groups(_ characters: ArraySlice<UInt8>, mayEndInV4: Bool) -> [UInt16]? {
    guard !characters.isEmpty else { return [] }
    var groups: [UInt16] = []
    let parts = characters.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
    for (index, part) in parts.enumerated() {
        if mayEndInV4, index == parts.count - 1, let bits = dottedQuad(part) {
            groups.append(UInt16(bits >> 16))
            groups.append(UInt16(bits & 0xFFFF))
        } else if let group = hexadecimal(part) {
            groups.append(group)
        } else {
            return nil
        }
    }
    return groups
}

/// A number of one to four hexadecimal digits.
private func hexadecimal(_ characters: ArraySlice<UInt8>) -> UInt16? {
    guard (1...4).contains(characters.count) else { return nil }
    var number: UInt16 = 0
    for character in characters {
        guard let digit = Character(Unicode.Scalar(character)).hexDigitValue else { return nil }
        number = number << 4 | UInt16(digit)
    }
    return number
}
