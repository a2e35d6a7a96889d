import STUN

/// Where metrics go: `http://HOST[:PORT][/PATH]`, or https. Without a path it is `/v1/metrics`, with one that is appended, as the
/// OpenTelemetry specification says of `OTEL_EXPORTER_OTLP_ENDPOINT`; port 4318 if none is named.
struct OTLPEndpoint: Equatable {
    enum Scheme: String, CaseIterable {
        case http, https
    }

    let scheme: Scheme
    let host: String
    let port: Int
    let path: String

    init?(_ text: String) {
        let lowercased = text.lowercased()
        guard let scheme = Scheme.allCases.first(where: { lowercased.hasPrefix("\($0)://") }) else { return nil }
        self.scheme = scheme
        let rest = text.dropFirst("\(scheme)://".count)
        let authority = rest.prefix { $0 != "/" }
        let path = rest.dropFirst(authority.count)
        guard let (host, port) = Self.split(authority), !path.contains(where: { $0 == "?" || $0 == "#" || $0 == " " })
        else { return nil }
        (self.host, self.port) = (host, port)
        let stem = path.hasSuffix("/") ? path.dropLast() : path
        self.path = stem.hasSuffix("/v1/metrics") ? String(stem) : stem + "/v1/metrics"
    }

    private static func split(_ authority: Substring) -> (String, Int)? {
        var host = authority
        var port = 4318
        if authority.hasPrefix("[") {
            guard let end = authority.firstIndex(of: "]"), IPAddress(String(authority[..<end].dropFirst())) != nil
            else {
                return nil
            }
            host = authority[..<end].dropFirst()
            let after = authority[authority.index(after: end)...]
            guard after.isEmpty || after.hasPrefix(":") else { return nil }
            if !after.isEmpty {
                guard let number = UInt16(after.dropFirst()), number > 0 else { return nil }
                port = Int(number)
            }
        } else if let colon = authority.firstIndex(of: ":") {
            guard let number = UInt16(authority[authority.index(after: colon)...]), number > 0 else { return nil }
            (host, port) = (authority[..<colon], Int(number))
        }
        let isName = host.utf8.allSatisfy { byte in
            let scalar = Unicode.Scalar(byte)
            return scalar.isASCII
                && (scalar.properties.isAlphabetic || "0123456789-._:".unicodeScalars.contains(scalar))
        }
        return host.isEmpty || !isName ? nil : (String(host), port)
    }

    var authority: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    var description: String { "\(scheme)://\(authority)\(path)" }
}
