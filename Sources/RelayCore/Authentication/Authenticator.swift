import STUN

/// The long-term credential mechanism of RFC 8489 section 9.2, server side.
struct Authenticator {
    /// What an allocation remembers of whoever made it.
    struct Identity {
        let username: [UInt8]
        let quotaName: String
        let algorithm: PasswordAlgorithm
        let key: IntegrityKey
        /// The configuration that vouched for it; a later one has to do so again.
        var epoch: UInt32

        var displayName: String { String(decoding: username, as: UTF8.self) }
    }

    /// Who sent a request, or what to answer.
    enum Result {
        case accepted(Identity, Signature)
        /// 401 and 438 carry a challenge; 400 does not.
        case refused(Outcome)
    }

    private var store: CredentialStore
    /// How many configurations there were before this one.
    private var epoch: UInt32 = 0
    private let realmBytes: [UInt8]
    private var nonces: NonceMint
    /// The bytes of PASSWORD-ALGORITHMS as every challenge carries them (RFC 8489 section 14.11).
    private static let offered: [PasswordAlgorithm] = [.sha256, .md5]

    init(_ configuration: Configuration, at moment: Moment, entropy: inout EntropySource) {
        store = CredentialStore(configuration)
        realmBytes = Array(configuration.realm.utf8)
        nonces = NonceMint(
            features: store.nonceFeatures, lifetimeSeconds: configuration.nonceLifetimeSeconds,
            at: moment.monotonic.seconds, entropy: &entropy)
    }

    /// Takes over users, secrets and the lifetime of nonces. The realm must stay: it is in the keys of living clients.
    mutating func reconfigure(_ configuration: Configuration) {
        store = CredentialStore(configuration)
        precondition(realmBytes == Array(store.realm.utf8), "a realm lasts as long as its relay")
        nonces.reconfigure(features: store.nonceFeatures, lifetimeSeconds: configuration.nonceLifetimeSeconds)
        epoch &+= 1
    }

    /// Checks a request.
    /// - Parameter owner: the identity behind the living allocation of this five-tuple; its expiry has no say any more,
    ///   so a call outlives the credential that it was set up with. Its user or secret must still be configured.
    func authenticate(
        _ request: borrowing Request, from client: TransportAddress, at moment: Moment, owner: Identity?
    ) -> Result {
        guard let kind = request.integrityKind else { return .refused(.unauthenticated) }
        guard request.hasUsernameOrHash, request.realm != nil, let nonce = request.nonce else {
            return .refused(.badRequest)
        }
        guard let algorithm = chosenAlgorithm(request) else { return .refused(.badRequest) }
        guard nonces.judge(request.bytes(nonce), from: client, at: moment.monotonic.seconds) == .good else {
            return .refused(.staleNonce)
        }
        guard let username = username(of: request), hasOurRealm(request) else { return .refused(.unauthenticated) }

        if let owner, owner.epoch == epoch, owner.username == username, owner.algorithm == algorithm,
            request.message.hasValidIntegrity(kind, key: owner.key)
        {
            return .accepted(owner, Signature(kind: kind, key: owner.key))
        }
        let isOwner = owner?.username == username
        for candidate in store.candidates(
            for: String(decoding: username, as: UTF8.self), at: isOwner ? nil : moment.wallSeconds)
        {
            let key = IntegrityKey.longTerm(
                algorithm, username: candidate.username, realm: store.realm, password: candidate.password)
            guard request.message.hasValidIntegrity(kind, key: key) else { continue }
            let identity = Identity(
                username: username, quotaName: candidate.quotaName, algorithm: algorithm, key: key, epoch: epoch)
            return .accepted(identity, Signature(kind: kind, key: key))
        }
        return .refused(.unauthenticated)
    }

    /// Whether a nonce was minted for this client and is still good.
    func accepts(nonce: RawSpan, from client: TransportAddress, at moment: Moment) -> Bool {
        nonces.judge(nonce, from: client, at: moment.monotonic.seconds) == .good
    }

    /// Appends REALM, NONCE and PASSWORD-ALGORITHMS.
    mutating func appendChallenge(
        for client: TransportAddress, at moment: Moment, entropy: inout EntropySource, to writer: inout MessageWriter
    ) {
        writer.append(.realm, text: store.realm)
        let nonce = nonces.mint(for: client, at: moment.monotonic.seconds, entropy: &entropy)
        writer.append(.nonce, bytes: unsafe nonce.span.bytes)
        writer.appendPasswordAlgorithms(Self.offered)
    }

    /// The algorithm of the key (RFC 8489 section 9.2.4): MD5 when the client says nothing; else both attributes must be
    /// there, the list must be the one offered, and the choice must be on it, or somebody bid the client down.
    private func chosenAlgorithm(_ request: borrowing Request) -> PasswordAlgorithm? {
        switch (request.passwordAlgorithms, request.passwordAlgorithm) {
        case (nil, nil): return .md5
        case (let list?, let choice?):
            guard request.bytes(list).hasSameBytes(as: Self.offered.flatMap { [0, UInt8($0.rawValue), 0, 0] }) else {
                return nil
            }
            return PasswordAlgorithm(rawValue: choice)
        default: return nil
        }
    }

    private func username(of request: borrowing Request) -> [UInt8]? {
        if let username = request.username { return request.bytes(username).copyBytes() }
        guard let hash = request.userHash else { return nil }
        return store.username(hash: hash).map { Array($0.utf8) }
    }

    /// What an allocation remembers after its owner was accepted once more: nothing new, unless a new configuration
    /// vouched for it. The name that quotas count by stays the one that was counted.
    func renewed(_ owner: Identity, as accepted: Identity) -> Identity? {
        guard owner.epoch != epoch, owner.username == accepted.username else { return nil }
        return Identity(
            username: owner.username, quotaName: owner.quotaName, algorithm: accepted.algorithm, key: accepted.key,
            epoch: epoch)
    }

    private func hasOurRealm(_ request: borrowing Request) -> Bool {
        guard let realm = request.realm else { return false }
        return request.bytes(realm).hasSameBytes(as: realmBytes)
    }
}

/// How an answer is signed: with the attribute and the key that the request was.
struct Signature {
    let kind: IntegrityKind
    let key: IntegrityKey
}
