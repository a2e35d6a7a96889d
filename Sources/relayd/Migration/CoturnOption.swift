/// What becomes of coturn's options that are not translated value by value (coturn 4.6, README.turnserver).
enum CoturnOption {
    enum Fate {
        /// Translated by ``Migration``.
        case translated
        /// relayd behaves so by itself; nothing is lost.
        case given(String)
        /// There is no equivalent, for this reason.
        case missing(String)
    }

    static func fate(of name: String) -> Fate? { table[name] }

    private static let table: [String: Fate] = Dictionary(
        uniqueKeysWithValues: translated.map { ($0, .translated) }
            + given.flatMap { names, why in
                names.map { ($0, .given(why)) }
            } + missing.flatMap { names, why in names.map { ($0, .missing(why)) } })

    private static let translated = [
        "listening-ip", "listening-port", "aux-server", "relay-ip", "external-ip", "min-port", "max-port", "realm",
        "user",
        "lt-cred-mech", "use-auth-secret", "static-auth-secret", "denied-peer-ip", "allowed-peer-ip", "user-quota",
        "total-quota", "max-bps", "bps-capacity", "stale-nonce", "allow-loopback-peers", "relay-threads", "prometheus",
        "prometheus-port",
        "verbose",
        "Verbose", "no-auth", "no-udp", "no-udp-relay", "rest-api-separator",
    ]

    private static let given: [([String], String)] = [
        (["no-multicast-peers"], "multicast peers are always denied"),
        (["fingerprint"], "FINGERPRINT is checked where a client sends one; answers need none"),
        (["no-tcp", "no-tls", "no-dtls", "no-tcp-relay"], "relayd serves and relays UDP only so far"),
        (["no-tlsv1", "no-tlsv1_1", "no-tlsv1_2"], "there is no TLS so far"),
        (
            ["no-rfc5780", "no-stun-backward-compatibility", "response-origin-only-with-rfc5780"],
            "Binding is answered as RFC 8489 says, with XOR-MAPPED-ADDRESS alone"
        ),
        (["no-software-attribute"], "answers carry no SOFTWARE attribute"),
        (["no-auth-pings", "no-dynamic-ip-list", "no-dynamic-realms"], "there is no database"),
        (["no-cli"], "there is no telnet interface"),
        (
            ["no-stdout-log", "simple-log", "new-log-timestamp", "new-log-timestamp-format"],
            "the log is one line an event on standard error, with ISO 8601 times"
        ),
        (
            ["proc-user", "proc-group", "pidfile", "daemon"],
            "the service manager takes care of it: see deploy/systemd/relayd.service"
        ),
    ]

    private static let missing: [([String], String)] = [
        (
            [
                "tls-listening-port", "alt-tls-listening-port", "cert", "pkey", "pkey-pwd", "CA-file", "cipher-list",
                "ec-curve-name", "dh-file", "dh566", "dh1066", "tls-alternate-server",
            ],
            "TURN over TLS and DTLS is not there yet"
        ),
        (["tcp-proxy-port"], "TURN over TCP is not there yet"),
        (["alt-listening-port"], "NAT behaviour discovery (RFC 5780) is not offered"),
        (
            ["max-allocate-lifetime", "channel-lifetime", "permission-lifetime", "max-allocate-timeout"],
            "the times of RFC 8656 are fixed"
        ),
        (
            ["log-file", "syslog", "syslog-facility"],
            "the log goes to standard error; the service manager keeps it (journalctl -u relayd)"
        ),
        (["log-binding"], "Binding requests are counted, not logged"),
        (["prometheus-username-labels"], "no metric names a user"),
        (["cli-ip", "cli-port", "cli-password", "cli-max-output-sessions"], "there is no telnet interface"),
        (
            ["web-admin", "web-admin-ip", "web-admin-port", "web-admin-listen-on-workers", "acme-redirect"],
            "there is no web interface of this kind"
        ),
        (["mobility"], "TURN mobility (RFC 8016) is not offered"),
        (["listening-device", "relay-device"], "sockets are bound to addresses: give listen and relay-address"),
        (
            ["alternate-server"],
            "coturn redirects always; relayd's alternate-server redirects new clients only while it drains"
        ),
        (["udp-self-balance"], "the kernel shares the clients among the workers"),
        (["stun-only"], "a relay that relays nothing is not offered"),
        (["no-stun", "secure-stun"], "Binding is always answered, limited by unauthenticated-rate"),
        (
            ["keep-address-family", "allocation-default-address-family"],
            "an allocation without REQUESTED-ADDRESS-FAMILY is IPv4, as RFC 8656 says"
        ),
        (["server-relay"], "permissions are always checked (RFC 8656 section 9)"),
        (
            ["userdb", "db", "psql-userdb", "mysql-userdb", "mongo-userdb", "redis-userdb", "secret-key-file"],
            "users and secrets stand in the configuration; move them there"
        ),
        (["redis-statsdb"], "statistics are at /metrics"),
        (["oauth", "server-name"], "third-party authorization (RFC 7635) is not offered"),
        (["check-origin-consistency"], "ORIGIN is not looked at"),
        (["ne"], "data-plane chooses how datagrams are moved"),
    ]
}
