import STUN

/// A coturn configuration in relayd's words: YAML, and behind it, as comments, what has no equivalent and why.
struct Migration {
    /// One key of the result, with the options that it comes from.
    private struct Row {
        let key: OptionKey
        let values: [String]
        let origin: String
    }

    private let file: CoturnFile
    private let path: String
    private var rows: [Row] = []
    /// What a person must know, each with the line that it is about.
    private(set) var notes: [String] = []
    /// What needs no option here.
    private(set) var given: [String] = []

    init(_ file: CoturnFile, from path: String) {
        self.file = file
        self.path = path
        migrateAddresses()
        migrateCredentials()
        migratePeers()
        migrateLimits()
        migrateOperation()
        explainTheRest()
    }

    var text: String {
        var lines = ["# From \(YAMLText.comment(path)). Look at it with relayd check --config FILE."]
        for row in rows.sorted(by: { Self.position($0.key) < Self.position($1.key) }) {
            lines.append("# \(row.origin)")
            guard row.key.shape == .list else {
                lines.append("\(row.key.rawValue): \(YAMLText.value(row.values, of: row.key))")
                continue
            }
            lines.append("\(row.key.rawValue):")
            lines += row.values.map { "  - \(YAMLText.scalar($0))" }
        }
        lines += Self.section("To know, and what has no equivalent:", notes)
        lines += Self.section("What relayd does so by itself:", given)
        return lines.joined(separator: "\n") + "\n"
    }

    private static func section(_ title: String, _ texts: [String]) -> [String] {
        texts.isEmpty ? [] : ["", "# \(title)"] + texts.map { "# - \(YAMLText.comment($0))" }
    }

    private static func position(_ key: OptionKey) -> Int { OptionKey.allCases.firstIndex(of: key) ?? 0 }

    private mutating func set(_ key: OptionKey, _ values: [String], from origin: String) {
        if !values.isEmpty { rows.append(Row(key: key, values: values, origin: origin)) }
    }

    private mutating func note(_ text: String) { notes.append(text) }

    // Addresses

    private mutating func migrateAddresses() {
        let port = number("listening-port", in: 1...65535) ?? 3478
        let hosts = addresses("listening-ip")
        let isDefault = hosts.isEmpty && port == 3478
        let wildcards = [IPAddress(v4: 0), IPAddress(v6High: 0, low: 0)]
        let listeners = (hosts.isEmpty ? wildcards : hosts).map { TransportAddress($0, port: UInt16(port)) }
        let others = file.entries.filter { $0.name == "aux-server" }.compactMap { entry -> TransportAddress? in
            let address = TransportAddress(entry.value)
            if address == nil { unreadable(entry, "an address and a port") }
            return address
        }
        if !isDefault || !others.isEmpty {
            set(.listen, (listeners + others).map(\.description), from: "listening-ip, listening-port, aux-server")
        }
        migrateRelayAddresses(listening: hosts)
        let (low, high) = (number("min-port", in: 1...65535), number("max-port", in: 1...65535))
        if low != nil || high != nil {
            let (low, high) = (low ?? 49152, high ?? 65535)
            if low <= high {
                set(.relayPorts, ["\(low)-\(high)"], from: "min-port, max-port")
            } else {
                note("min-port \(low) is above max-port \(high)")
            }
        }
        if !file.has("no-tcp") {
            note("coturn also served TCP; relayd serves UDP only so far, so clients need turn:HOST?transport=udp")
        }
        if file.value("cert") != nil, !file.has("no-tls") || !file.has("no-dtls") {
            note("coturn also served TLS or DTLS with its certificate, which turns: URIs need; relayd does not yet")
        }
        if file.has("no-udp") { note("no-udp: relayd serves UDP only so far, so it cannot leave it out") }
        if file.has("no-udp-relay") { note("no-udp-relay: relayd relays UDP only so far") }
    }

    /// coturn relays from relay-ip, else from the address that the client talks to. External addresses stand alone or as
    /// `public/private`; relayd pairs them with the relay addresses of their family in order.
    private mutating func migrateRelayAddresses(listening: [IPAddress]) {
        var alone: [IPAddress] = []
        var pairs: [(outside: IPAddress, inside: IPAddress)] = []
        for entry in file.entries where entry.name == "external-ip" {
            let parts = entry.value.split(separator: "/", omittingEmptySubsequences: false).map {
                IPAddress(String($0))
            }
            switch (parts.count, parts.first ?? nil, parts.last ?? nil) {
            case (1, let address?, _): alone.append(address)
            case (2, let outside?, let inside?) where outside.family == inside.family: pairs.append((outside, inside))
            default: unreadable(entry, "an address, or public/private")
            }
        }
        var relays = addresses("relay-ip")
        var origin = "relay-ip"
        if relays.isEmpty {
            relays = pairs.isEmpty ? listening.filter { !$0.isUnspecifiedAddress } : pairs.map(\.inside)
            origin =
                pairs.isEmpty ? "listening-ip: coturn relays from where it listens" : "external-ip: the private halves"
        }
        set(.relayAddress, relays.map(\.description), from: origin)
        guard !pairs.isEmpty else {
            return set(.externalAddress, alone.map(\.description), from: "external-ip")
        }
        for address in alone {
            note("external-ip \(address): stands beside pairs, so nothing says which address it is for")
        }
        for family in AddressFamily.allCases where !pairs.contains(where: { $0.outside.family == family }) {
            relays.removeAll { $0.family == family }
        }
        // A relay address without a pair is known by its own name.
        let externals = relays.map { relay in pairs.first { $0.inside == relay }?.outside ?? relay }
        set(.externalAddress, externals.map(\.description), from: "external-ip, in the order of relay-address")
        for pair in pairs where !relays.contains(pair.inside) {
            note("external-ip \(pair.outside)/\(pair.inside): \(pair.inside) is no relay-ip")
        }
    }

    // Credentials

    private mutating func migrateCredentials() {
        if let realm = file.value("realm") { set(.realm, [realm], from: "realm") }
        var users: [String] = []
        for entry in file.entries where entry.name == "user" {
            let parts = entry.value.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            if parts.count != 2 || parts[0].isEmpty || parts[1].isEmpty {
                note("line \(entry.line): user needs a name and a password")
            } else if parts[1].hasPrefix("0x") {
                note(
                    "line \(entry.line): user \(parts[0]) has a key in place of the password; SHA-256 (RFC 8489) needs "
                        + "the password itself")
            } else {
                users.append(entry.value)
            }
        }
        set(.user, users, from: "user")
        let secrets = file.values("static-auth-secret")
        set(.authSecret, secrets, from: "static-auth-secret; auth-secret-file keeps it out of this file")
        if file.has("no-auth") {
            note("no-auth: relayd does not start without credentials, for an open relay is everybody's proxy")
        }
        if file.has("use-auth-secret"), secrets.isEmpty {
            note(
                "use-auth-secret without static-auth-secret: the secrets are in a database; give them as auth-secret-file"
            )
        }
        if users.isEmpty, secrets.isEmpty {
            note("there are no credentials here: add user, auth-secret or auth-secret-file before you start relayd")
        }
        if let separator = file.value("rest-api-separator"), separator != ":" {
            note("rest-api-separator \(separator): time-limited names are expiry:user, with a colon")
        }
        if file.value("realm") == nil, !users.isEmpty {
            note("without realm coturn takes the host's domain; relayd's is relayd")
        }
    }

    // Peers

    private mutating func migratePeers() {
        let allowed = ranges("allowed-peer-ip").flatMap(\.networks)
        // In coturn an allowed address is allowed whatever is denied. Here the longest prefix counts, which comes to the
        // same but where a denied network lies in an allowed one.
        let denied = ranges("denied-peer-ip").flatMap(\.networks).filter { network in
            !allowed.contains { $0.contains(network) }
        }
        var allow = allowed.map(\.description)
        var origin = "allowed-peer-ip"
        if file.has("allow-loopback-peers") {
            // Its own addresses are open only where they are named one by one.
            allow += ["127.0.0.0/8", "127.0.0.1", "::1"]
            origin += ", allow-loopback-peers"
            note(
                "allow-loopback-peers: 127.0.0.1 and ::1 are opened; other addresses of this host must be named in "
                    + "allow-peer one by one")
        }
        set(.allowPeer, Self.unique(allow), from: origin)
        set(.denyPeer, Self.unique(denied.map(\.description)), from: "denied-peer-ip")
        note(
            "coturn lets clients reach private addresses unless they are denied; relayd denies special-purpose ranges "
                + "unless they are allowed. If peers have private addresses, add peer-profile: private-network")
        if !allowed.isEmpty {
            note(
                "allowed-peer-ip: a special-purpose range such as 192.168.0.0/16 is opened only by a network that lies "
                    + "within it or equals it")
        }
    }

    private mutating func ranges(_ name: String) -> [AddressRange] {
        file.entries.filter { $0.name == name }.compactMap { entry in
            let range = AddressRange(entry.value)
            if range == nil { unreadable(entry, "an address or first-last") }
            return range
        }
    }

    // The rest

    private mutating func migrateLimits() {
        if let quota = number("user-quota", in: 0...1_000_000) {
            set(.allocationsPerUser, ["\(quota)"], from: "user-quota")
        } else {
            note(
                "user-quota is not set, which is no limit in coturn; relayd's allocations-per-user is 100 unless you say so"
            )
        }
        migrateRates()
        guard let seconds = number("stale-nonce", in: 0...Int(Int32.max)) else { return }
        let kept = seconds == 0 ? 28_800 : min(max(seconds, 60), 28_800)
        set(.nonceLifetime, ["\(kept)s"], from: "stale-nonce")
        if kept != seconds { note("stale-nonce \(seconds): a nonce is good for 60 s to 8 h, so it became \(kept) s") }
    }

    /// coturn counts bytes a second, each direction for itself; here it is bits. Its capacity is not measured either, but
    /// shared out: each session takes max-bps of it, and without any left an Allocate is refused.
    private mutating func migrateRates() {
        let most = 12_500_000_000
        let bytesPerSecond = number("max-bps", in: 0...most) ?? 0
        let capacity = number("bps-capacity", in: 0...Int.max) ?? 0
        var quota = number("total-quota", in: 0...1_000_000) ?? 0
        var origin = "total-quota"
        if bytesPerSecond > 0 {
            set(.allocationRate, ["\(8 * bytesPerSecond)"], from: "max-bps, in bits instead of bytes a second")
            note(
                "max-bps: coturn counts what the client's socket carries, relayd the payload alone, in each direction; "
                    + "what is faster is dropped in both")
        }
        if capacity > 0, bytesPerSecond == 0 {
            note("bps-capacity: without max-bps it limits nothing in coturn either")
        } else if capacity > 0 {
            let sessions = max(1, capacity / bytesPerSecond + (capacity % bytesPerSecond > 0 ? 1 : 0))
            if quota == 0 || sessions < quota {
                (quota, origin) = (min(sessions, 1_000_000), "bps-capacity, as sessions of max-bps")
            }
            note(
                "bps-capacity \(capacity): coturn gives max-bps of it to each session and refuses what comes on top; "
                    + "that is \(sessions) sessions, as allocations-total")
        }
        if quota > 0 { set(.allocationsTotal, ["\(quota)"], from: origin) }
    }

    private mutating func migrateOperation() {
        if let threads = number("relay-threads", in: 0...256) {
            set(.workers, ["\(max(1, threads))"], from: "relay-threads")
        }
        if file.has("Verbose") { set(.logLevel, ["debug"], from: "Verbose") }
        if file.has("verbose"), !file.has("Verbose") { given.append("verbose: allocations are logged at level info") }
        if file.has("prometheus") {
            set(
                .http, ["127.0.0.1:\(number("prometheus-port", in: 1...65535) ?? 9641)"],
                from: "prometheus, prometheus-port")
            note("prometheus: coturn serves it on all addresses, this opens it on loopback; the path is /metrics")
        }
    }

    private mutating func explainTheRest() {
        for entry in file.entries {
            switch CoturnOption.fate(of: entry.name) {
            case .translated: continue
            case .missing where !entry.isOn: continue
            case .given(let why): given.append("line \(entry.line), \(entry.name): \(why)")
            case .missing(let why): note("line \(entry.line), \(entry.name): \(why)")
            case nil: note("line \(entry.line), \(entry.name): coturn 4.6 documents no such option")
            }
        }
    }

    // Reading

    private mutating func addresses(_ name: String) -> [IPAddress] {
        var found: [IPAddress] = []
        for entry in file.entries where entry.name == name {
            guard let address = IPAddress(entry.value) else {
                unreadable(entry, "an IP address")
                continue
            }
            if !found.contains(address) { found.append(address) }
        }
        return found
    }

    private mutating func number(_ name: String, in range: ClosedRange<Int>) -> Int? {
        guard let entry = file.entries.last(where: { $0.name == name }), !entry.value.isEmpty else { return nil }
        if let number = Int(entry.value), range.contains(number) { return number }
        unreadable(entry, "a number from \(range.lowerBound) to \(range.upperBound)")
        return nil
    }

    private mutating func unreadable(_ entry: CoturnFile.Entry, _ wanted: String) {
        note("line \(entry.line), \(entry.name): \"\(entry.value)\" is not \(wanted)")
    }

    private static func unique(_ values: [String]) -> [String] {
        values.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
    }
}
