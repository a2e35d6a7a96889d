import Crypto
import STUN

/// The users and secrets of one configuration, ready for look-up.
struct CredentialStore {
    /// Somebody whose password is known; the integrity of the message decides whether it is really them.
    struct Candidate {
        let username: String
        let password: String
        /// Whom quotas count: a static user's name, or what follows the expiry in a time-limited one. A bare expiry
        /// names nobody, so it counts for itself.
        let quotaName: String
    }

    let realm: String
    private let passwords: [String: String]
    private let usernamesByHash: [UserHash: String]
    private let secrets: [SymmetricKey]

    init(_ configuration: Configuration) {
        realm = configuration.realm
        passwords = Dictionary(configuration.users.map { ($0.name, $0.password) }, uniquingKeysWith: { $1 })
        usernamesByHash = Dictionary(
            configuration.users.map { (UserHash(username: $0.name, realm: configuration.realm), $0.name) },
            uniquingKeysWith: { $1 })
        secrets = configuration.authSecrets.map { SymmetricKey(data: Array($0.utf8)) }
    }

    /// A hashed name cannot be turned back into an expiry, so anonymity is offered only without secrets.
    var offersUsernameAnonymity: Bool { secrets.isEmpty }

    var nonceFeatures: NonceMint.Features {
        offersUsernameAnonymity ? [.passwordAlgorithms, .usernameAnonymity] : .passwordAlgorithms
    }

    /// The name behind a USERHASH, if a static user has it.
    func username(hash: UserHash) -> String? { usernamesByHash[hash] }

    /// Everybody that `username` may be: one static user, or one candidate a secret.
    /// - Parameter second: the wall clock, or nothing when an expired credential is still good (its allocation lives).
    func candidates(for username: String, at second: UInt64?) -> [Candidate] {
        if let password = passwords[username] {
            return [Candidate(username: username, password: password, quotaName: username)]
        }
        guard let parts = Self.timeLimited(username) else { return [] }
        if let second, parts.expiry <= second { return [] }
        return secrets.map { secret in
            Candidate(
                username: username, password: Self.password(for: username, secret: secret), quotaName: parts.user)
        }
    }

    /// The two parts of `expiry:user`, or of a bare `expiry`.
    private static func timeLimited(_ username: String) -> (expiry: UInt64, user: String)? {
        let parts = username.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard let expiry = UInt64(parts[0]) else { return nil }
        return (expiry, parts.count == 2 && !parts[1].isEmpty ? String(parts[1]) : username)
    }

    private static func password(for username: String, secret: SymmetricKey) -> String {
        TimeLimitedCredential.password(
            code: HMAC<Insecure.SHA1>.authenticationCode(for: Array(username.utf8), using: secret))
    }
}

/// Credentials that a web service hands out: the name carries the expiry, the password proves the name
/// (draft-uberti-behave-turn-rest, coturn's `use-auth-secret`).
public struct TimeLimitedCredential: Sendable, Hashable {
    /// `expiry:user`, the expiry in seconds since 1970; the bare expiry for an empty user.
    public let username: String
    /// base64(HMAC-SHA1(secret, username)).
    public let password: String

    public init(user: String, expiresAtSeconds: UInt64, secret: String) {
        username = user.isEmpty ? "\(expiresAtSeconds)" : "\(expiresAtSeconds):\(user)"
        password = Self.password(
            code: HMAC<Insecure.SHA1>.authenticationCode(
                for: Array(username.utf8), using: SymmetricKey(data: Array(secret.utf8))))
    }

    static func password(code: HMAC<Insecure.SHA1>.MAC) -> String {
        String(decoding: Base64.encode(Array(code), padded: true), as: UTF8.self)
    }
}
