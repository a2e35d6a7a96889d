import STUN
import Testing

@Suite("Integrity and fingerprint")
struct IntegrityTests {
    let key = IntegrityKey.longTerm(.md5, username: "alice", realm: "example.org", password: "secret")

    @Test("Both integrity attributes and a fingerprint in one message", arguments: [false, true])
    func both(fingerprint: Bool) throws {
        let bytes = write(.request, .allocate, fingerprint: fingerprint) { writer in
            writer.append(.username, text: "alice")
            writer.appendIntegrity(.sha1, key: key, byteCount: 20)
            writer.appendIntegrity(.sha256, key: key, byteCount: 32)
        }
        try withMessage(bytes) { message in
            let integrity = message.integrity
            #expect(integrity == [.sha1, .sha256])
            let valid = validity(message)
            #expect(valid == [true, true])
            let hasValidFingerprint = message.hasValidFingerprint()
            #expect(hasValidFingerprint == (fingerprint ? true : nil))
        }
    }

    @Test("Every bit before and in the code is covered", arguments: IntegrityKind.allCases)
    func coverage(kind: IntegrityKind) throws {
        let bytes = write(.request, .refresh) { writer in
            writer.append(.username, text: "alice")
            writer.appendIntegrity(kind, key: key, byteCount: kind.byteCount)
        }
        for offset in bytes.indices {
            for bit in 0..<8 {
                var changed = bytes
                changed[offset] ^= 1 << bit
                // Some changes make it something else than a message, or than a signed one: as good.
                let isValid = try? withMessage(changed) { $0.hasValidIntegrity(kind, key: key) }
                if isValid == true { Issue.record("bit \(bit) of byte \(offset) is not covered") }
            }
        }
    }

    @Test("SHA-256 may be truncated to 16, 20, 24 or 28 bytes, to nothing else; SHA-1 not at all")
    func truncation() throws {
        let whole = write { $0.appendIntegrity(.sha256, key: key, byteCount: 32) }
        for byteCount in [16, 20, 24, 28, 32] {
            let bytes = write { $0.appendIntegrity(.sha256, key: key, byteCount: byteCount) }
            #expect(bytes.count == 20 + 4 + byteCount)
            let isValid = try withMessage(bytes) { $0.hasValidIntegrity(.sha256, key: key) }
            #expect(isValid)
        }
        for byteCount in 0...40 where ![16, 20, 24, 28, 32].contains(byteCount) {
            // The right code for that length, as far as there is one: only the rule can refuse it.
            var code = Array(whole[24...].prefix(byteCount))
            code += Array(repeating: 0, count: byteCount - code.count)
            let isValid = try withMessage(rawMessage([(0x001C, code)])) { $0.hasValidIntegrity(.sha256, key: key) }
            #expect(!isValid)
            #expect(!IntegrityKind.sha256.allows(byteCount: byteCount))
        }
        for byteCount in 0...40 { #expect(IntegrityKind.sha1.allows(byteCount: byteCount) == (byteCount == 20)) }
    }

    @Test("What is ignored after the code cannot change the message")
    func appended() throws {
        let signed = write(.request, .allocate) { writer in
            writer.append(.username, text: "alice")
            writer.appendIntegrity(.sha1, key: key, byteCount: 20)
        }
        var extended = signed + hex("0014 0003 6162 6300")
        extended.replaceSubrange(2..<4, with: bigEndian(UInt16(extended.count - 20)))
        try withMessage(extended) { message in
            let isValid = message.hasValidIntegrity(.sha1, key: key)
            #expect(isValid)
            let hasRealm = message.first(.realm) != nil
            #expect(!hasRealm)
        }
    }

    @Test("A fingerprint must be right, of four bytes and the last")
    func fingerprints() throws {
        let good = write(fingerprint: true) { $0.append(.software, text: "x") }
        try withMessage(good) { message in
            let isValid = message.hasValidFingerprint()
            #expect(isValid == true)
        }
        for offset in good.indices {
            var changed = good
            changed[offset] ^= 0x10
            let isValid = try? withMessage(changed) { $0.hasValidFingerprint() }
            #expect(isValid != true)
        }
        let notLast = rawMessage([(0x8028, hex("00000000")), (0x8022, [])])
        let isNotLastValid = try withMessage(notLast) { $0.hasValidFingerprint() }
        #expect(isNotLastValid == false)
        let tooLong = rawMessage([(0x8028, hex("0000000000000000"))])
        let isTooLongValid = try withMessage(tooLong) { $0.hasValidFingerprint() }
        #expect(isTooLongValid == false)
    }

    @Test("CRC-32 has its well-known check value")
    func crc() {
        let digits = CRC32.checksum(Array("123456789".utf8).span.bytes)
        #expect(digits == 0xCBF4_3926)
        let nothing = CRC32.checksum(RawSpan())
        #expect(nothing == 0)
    }

    @Test("HMAC has the values of RFC 2202 and RFC 4231")
    func hmac() throws {
        let jefe = try #require(IntegrityKey.shortTerm(password: "Jefe"))
        let data = Array("what do ya want for nothing?".utf8)
        let sha1 = jefe.authenticationCode(.sha1, of: data.span.bytes)
        expect(sha1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79")
        let sha256 = jefe.authenticationCode(.sha256, of: data.span.bytes)
        expect(sha256, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
    }

    @Test("Keys are equal when their bytes are, whichever way they come")
    func keys() throws {
        #expect(key == IntegrityKey.longTerm(.md5, username: "alice", realm: "example.org", password: "secret"))
        #expect(key != IntegrityKey.longTerm(.sha256, username: "alice", realm: "example.org", password: "secret"))
        #expect(key != IntegrityKey.longTerm(.md5, username: "alice", realm: "example.org", password: "secreT"))
        // The example of RFC 8489 section 9.2.2: MD5 of "user:realm:pass".
        let digest = hex("8493fbc53ba582fb4c044c456bdc40eb")
        let ofDigest = IntegrityKey(bytes: digest.span.bytes)
        #expect(ofDigest == IntegrityKey.longTerm(.md5, username: "user", realm: "realm", password: "pass"))
        let longest = IntegrityKey.shortTerm(password: String(repeating: "x", count: 64))
        #expect(longest != nil)
        let tooLong = IntegrityKey.shortTerm(password: String(repeating: "x", count: 65))
        #expect(tooLong == nil)
    }

    private func validity(_ message: Message) -> [Bool] {
        IntegrityKind.allCases.map { message.hasValidIntegrity($0, key: key) }
    }

    private func expect(_ code: AuthenticationCode, _ digits: String) {
        let bytes = hex(digits)
        let matches = code.matches(bytes.span.bytes)
        #expect(matches)
        for offset in bytes.indices {
            var changed = bytes
            changed[offset] ^= 1
            let matchesChanged = code.matches(changed.span.bytes)
            #expect(!matchesChanged)
        }
        let prefix = Array(bytes.dropLast())
        let matchesPrefix = code.matches(prefix.span.bytes)
        #expect(!matchesPrefix)
    }
}
