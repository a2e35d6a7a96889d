import STUN
import Testing

@Suite("The vectors of RFC 5769 and RFC 8489")
struct VectorTests {
    let shortTerm: IntegrityKey
    let wrongKey = IntegrityKey.longTerm(.md5, username: "a", realm: "b", password: "c")
    let sampleID = TransactionID(high: 0xB7E7_A701, low: 0xBC34_D686_FA87_DFAE)
    let longTermID = TransactionID(high: 0x78AD_3433, low: 0xC6AD_72C0_29DA_412E)

    init() throws {
        shortTerm = try #require(IntegrityKey.shortTerm(password: Vector.shortTermPassword))
    }

    @Test("RFC 5769 2.1: sample request")
    func request() throws {
        try withMessage(Vector.request) { message in
            #expect(message.messageClass == .request)
            #expect(message.method == .binding)
            #expect(message.transactionID == sampleID)
            let software = message.first(.software)?.value.text
            #expect(software == "STUN test client")
            let username = message.first(.username)?.value.text
            #expect(username == "evtj:h6vY")
            let priority = message.first(AttributeType(rawValue: 0x0024))?.uint32
            #expect(priority == 0x6E00_01FF)
            let unknown = message.unknownRequiredAttributes()
            #expect(unknown == [AttributeType(rawValue: 0x0024)])
            expectSigned(message, .sha1, by: shortTerm)
            let fingerprint = message.hasValidFingerprint()
            #expect(fingerprint == true)
        }
    }

    @Test(
        "RFC 5769 2.2 and 2.3: sample responses",
        arguments: [
            (Vector.ipv4Response, "192.0.2.1:32853"),
            (Vector.ipv6Response, "[2001:db8:1234:5678:11:2233:4455:6677]:32853"),
        ])
    func response(bytes: [UInt8], address: String) throws {
        try withMessage(bytes) { message in
            #expect(message.messageClass == .successResponse)
            #expect(message.method == .binding)
            let software = message.first(.software)?.value.text
            #expect(software == "test vector")
            let mapped = message.first(.xorMappedAddress)?.xorAddress(message.transactionID)
            #expect(mapped == TransportAddress(address))
            #expect(mapped?.description == address)
            expectSigned(message, .sha1, by: shortTerm)
            let fingerprint = message.hasValidFingerprint()
            #expect(fingerprint == true)
        }
    }

    @Test("RFC 5769 2.4: long-term request")
    func longTermRequest() throws {
        let key = IntegrityKey.longTerm(
            .md5, username: Vector.longTermUsername, realm: Vector.realm, password: Vector.longTermPassword)
        try withMessage(Vector.longTermRequest) { message in
            #expect(message.transactionID == longTermID)
            let username = message.first(.username)?.value.text
            #expect(username == Vector.longTermUsername)
            let realm = message.first(.realm)?.value.text
            #expect(realm == Vector.realm)
            expectSigned(message, .sha1, by: key)
            let fingerprint = message.hasValidFingerprint()
            #expect(fingerprint == nil)
        }
        let written = try writeSigned(longTermID, key, .sha1) { writer in
            writer.append(.username, text: Vector.longTermUsername)
            writer.append(.nonce, text: "f//499k954d6OL34oL9FSTvy64sA")
            writer.append(.realm, text: Vector.realm)
        }
        #expect(written == Vector.longTermRequest)
    }

    @Test("RFC 8489 B.1: request with USERHASH and SHA-256")
    func sha256Request() throws {
        let key = IntegrityKey.longTerm(
            .sha256, username: Vector.longTermUsername, realm: Vector.realm, password: Vector.longTermPassword)
        let userHash = UserHash(username: Vector.longTermUsername, realm: Vector.realm)
        try withMessage(Vector.sha256Request) { message in
            let found = message.first(.userHash)?.userHash
            #expect(found == userHash)
            let algorithm = message.first(.passwordAlgorithm)?.passwordAlgorithmNumber
            #expect(algorithm == PasswordAlgorithm.sha256.rawValue)
            expectSigned(message, .sha256, by: key)
        }
        let written = try writeSigned(longTermID, key, .sha256) { writer in
            writer.append(userHash)
            writer.append(.nonce, text: "obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA")
            writer.append(.realm, text: Vector.realm)
            writer.appendPasswordAlgorithm(.sha256)
        }
        #expect(written == Vector.sha256Request)
    }

    /// The samples 2.1 to 2.3 pad with spaces, which we never send: what is written must differ from them in the
    /// padding, and so in the integrity and the fingerprint, and in nothing else.
    @Test("Written again, the samples differ in padding only", arguments: Vector.all)
    func writtenAgain(vector: [UInt8]) throws {
        var unpadded = vector
        var copy: [UInt8] = []
        try withMessage(vector) { message in
            copy = try rewrite(message)
            var attributes = message.attributes
            while let attribute = attributes.next() {
                let end = attribute.valueOffset + attribute.value.byteCount
                for offset in end..<(end + 3) & ~3 { unpadded[offset] = 0 }
            }
        }
        #expect(copy == unpadded)
    }

    private func expectSigned(_ message: Message, _ kind: IntegrityKind, by key: IntegrityKey) {
        let present = message.integrity
        #expect(present == (kind == .sha1 ? .sha1 : .sha256))
        let isValid = message.hasValidIntegrity(kind, key: key)
        #expect(isValid)
        let isValidForOther = message.hasValidIntegrity(kind, key: wrongKey)
        #expect(!isValidForOther)
        let otherKindIsValid = message.hasValidIntegrity(kind == .sha1 ? .sha256 : .sha1, key: key)
        #expect(!otherKindIsValid)
    }

    private func writeSigned(
        _ id: TransactionID, _ key: IntegrityKey, _ kind: IntegrityKind, _ fill: (inout MessageWriter) -> Void
    ) throws -> [UInt8] {
        var writer = MessageWriter(capacityBytes: 256)
        writer.begin(.request, .binding, id)
        fill(&writer)
        let finished = writer.finish(signedWith: key, kind)
        return writer.bytes(try #require(finished)).array
    }

    /// The same attributes with the same values, whatever they are.
    private func rewrite(_ message: Message) throws -> [UInt8] {
        var writer = MessageWriter(capacityBytes: 256)
        writer.begin(message.messageClass, message.method, message.transactionID)
        var attributes = message.attributes
        while let attribute = attributes.next() { writer.append(attribute.type, bytes: attribute.value) }
        let finished = writer.finish()
        return writer.bytes(try #require(finished)).array
    }
}
