import HTTPTypes
import STUN

/// Who may administer: everybody who can open the unix socket; over TCP whoever knows the token. Without a token, only
/// programs of this host, and no page in one of its browsers.
enum AdminAccess: Sendable {
    case unix
    case tcp(isLoopback: Bool, token: String?)

    /// Whether a token stands before everything.
    var needsToken: Bool {
        if case .tcp(_, .some) = self { true } else { false }
    }

    /// Why a request may not administer; nothing if it may.
    func refusal(of head: HTTPRequest) -> AdminAnswer? {
        guard case .tcp(let isLoopback, let token) = self else { return nil }
        if let token {
            guard let given = Self.bearer(head), Self.isEqual(given, token) else {
                return AdminAnswer(
                    .unauthorized,
                    "the token is missing or wrong: Authorization: Bearer TOKEN, from --http-token-file\n",
                    [.wwwAuthenticate: "Bearer realm=\"relayd\""])
            }
            return nil
        }
        guard isLoopback else {
            return AdminAnswer(
                .forbidden,
                "administration is off here: this address is no loopback and relayd has no --http-token-file\n")
        }
        // A foreign page whose name was made to resolve to this host sends that name.
        guard Self.namesLoopback(head.authority ?? "") else {
            return AdminAnswer(.forbidden, "without a token, administration is asked for by a loopback address only\n")
        }
        // What a page may send without asking first never has this type.
        if head.method != .get, head.headerFields[.contentType]?.hasPrefix("application/json") != true {
            return AdminAnswer(.unsupportedMediaType, "Content-Type: application/json is needed here\n")
        }
        return nil
    }

    private static func bearer(_ head: HTTPRequest) -> String? {
        guard let field = head.headerFields[.authorization], field.lowercased().hasPrefix("bearer ") else { return nil }
        return String(field.dropFirst("bearer ".count))
    }

    /// Takes as long for a guess that is nearly right as for one that is not.
    private static func isEqual(_ given: String, _ token: String) -> Bool {
        let (given, token) = (Array(given.utf8), Array(token.utf8))
        var difference = UInt8(given.count == token.count ? 0 : 1)
        for (index, byte) in token.enumerated() { difference |= byte ^ (index < given.count ? given[index] : 0) }
        return difference == 0
    }

    /// `localhost`, 127.x.y.z or `[::1]`, with or without a port.
    private static func namesLoopback(_ authority: String) -> Bool {
        let host =
            authority.hasPrefix("[") ? authority.prefix { $0 != "]" }.dropFirst() : authority.prefix { $0 != ":" }
        return host == "localhost" || IPAddress(String(host))?.isLoopback == true
    }
}
