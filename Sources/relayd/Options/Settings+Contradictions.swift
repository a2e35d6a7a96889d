import RelayCore
import STUN

extension Settings {
    /// Options that are fine each by itself and wrong or without effect together.
    func contradictions() -> [OptionProblem] {
        var problems: [OptionProblem] = []
        if users.isEmpty, authSecrets.isEmpty, !isDemo {
            problems.append(
                OptionProblem(
                    "no credentials: without them anybody could relay anything. Add --user NAME:PASSWORD, or "
                        + "--auth-secret-file FILE for time-limited credentials; --demo makes some for a try on loopback"
                ))
        }
        for name in Self.repeated(users.map(\.name)) {
            problems.append(OptionProblem("user: the name \(name) stands twice"))
        }
        for family in AddressFamily.allCases where alternateServers.count(where: { $0.family == family }) > 1 {
            problems.append(OptionProblem("alternate-server: more than one of a family; a client is told one"))
        }
        for address in alternateServers where address.port == 0 {
            problems.append(OptionProblem("alternate-server: \(address) needs a port other than 0"))
        }
        if offloadNames.contains(.none), Set(offloadNames).count > 1 {
            problems.append(OptionProblem("offloads: none beside others; give it alone"))
        }
        problems += addressContradictions() + portContradictions()
        if isDemo { problems += demoContradictions() }
        return problems
    }

    private func addressContradictions() -> [OptionProblem] {
        var problems: [OptionProblem] = []
        for address in relayAddresses where address.isUnspecifiedAddress {
            problems.append(OptionProblem("relay-address: \(address) is no address that a peer could answer to"))
        }
        for address in Self.repeated(relayAddresses) {
            problems.append(OptionProblem("relay-address: \(address) stands twice"))
        }
        for family in AddressFamily.allCases where !relayAddresses.isEmpty {
            let relays = relayAddresses.count { $0.family == family }
            let externals = externalAddresses.filter { $0.family == family }
            if relays == 0, let external = externals.first {
                problems.append(
                    OptionProblem("external-address: \(external) has no effect without a relay-address of its family"))
            } else if externals.count > 1, externals.count != relays {
                problems.append(
                    OptionProblem(
                        "external-address: \(externals.count) for \(relays) relay addresses of one family; "
                            + "give one for all, or one each in order"))
            }
        }
        return problems
    }

    private func portContradictions() -> [OptionProblem] {
        var problems: [OptionProblem] = []
        for address in listen where relayPorts.contains(address.port) {
            problems.append(
                OptionProblem("listen: port \(address.port) lies in relay-ports \(relayPorts.text); keep them apart"))
        }
        for address in listen where address.port == 0 {
            problems.append(OptionProblem("listen: \(address) needs a port other than 0"))
        }
        if let http, http.port == 0 {
            problems.append(OptionProblem("http: \(http) needs a port other than 0"))
        }
        if http == nil, httpToken != nil {
            problems.append(OptionProblem("http-token-file: it has no effect without http"))
        }
        if otlpAuthorities != nil, otlpEndpoint?.scheme != .https {
            problems.append(OptionProblem("otlp-ca-file: it has no effect without an https otlp-endpoint"))
        }
        for address in Self.repeated(listen) {
            problems.append(OptionProblem("listen: \(address) stands twice"))
        }
        return problems
    }

    /// The values that stand more than once, each once.
    private static func repeated<Value: Hashable>(_ values: [Value]) -> [Value] {
        var seen: Set<Value> = []
        var told: Set<Value> = []
        return values.filter { !seen.insert($0).inserted && told.insert($0).inserted }
    }

    private func demoContradictions() -> [OptionProblem] {
        guard listen.isEmpty, relayAddresses.isEmpty, externalAddresses.isEmpty, users.isEmpty, authSecrets.isEmpty
        else {
            return [
                OptionProblem(
                    "demo: it brings its own loopback addresses and credentials; leave out listen, relay-address, "
                        + "external-address, user and auth-secret, or leave out demo")
            ]
        }
        return []
    }
}

extension ClosedRange<UInt16> {
    /// As the option is written.
    var text: String { "\(lowerBound)-\(upperBound)" }
}

extension IPAddress {
    /// 0.0.0.0 or `::`.
    var isUnspecifiedAddress: Bool { high == 0 && low == 0 }

    /// 127.0.0.0/8 or `::1`.
    var isLoopback: Bool {
        switch family {
        case .ipv4: low >> 24 == 127
        case .ipv6: high == 0 && low == 1
        }
    }
}
