import STUN
import Testing

@Suite("Messages")
struct MessageTests {
    @Test("Class and method interleave: all 4,096 methods of all classes")
    func types() {
        var seen = Set<UInt16>()
        for messageClass in MessageClass.allCases {
            for number in UInt16(0)...0xFFF {
                let type = MessageType(messageClass, Method(rawValue: number))
                // RFC 8489 section 5, bit by bit: class bits at 4 and 8, method bits in the others from the right.
                var expected: UInt16 = 0
                let positions = [0, 1, 2, 3, 5, 6, 7, 9, 10, 11, 12, 13]
                for (bit, position) in positions.enumerated() { expected |= (number >> UInt16(bit) & 1) << position }
                expected |= UInt16(messageClass.rawValue & 1) << 4 | UInt16(messageClass.rawValue >> 1) << 8
                guard type.rawValue == expected, type.messageClass == messageClass, type.method.rawValue == number
                else {
                    Issue.record("class \(messageClass), method \(number): \(type)")
                    return
                }
                seen.insert(type.rawValue)
            }
        }
        #expect(seen.count == 0x4000)
        #expect(MessageType(rawValue: 0x4000) == nil)
        #expect(MessageType(rawValue: 0x8000) == nil)
    }

    @Test("The types that RFC 8489 and RFC 8656 name have their wire values")
    func knownTypes() {
        #expect(MessageType(.request, .binding).rawValue == 0x0001)
        #expect(MessageType(.successResponse, .binding).rawValue == 0x0101)
        #expect(MessageType(.errorResponse, .allocate).rawValue == 0x0113)
        #expect(MessageType(.indication, .send).rawValue == 0x0016)
        #expect(MessageType(.indication, .data).rawValue == 0x0017)
        #expect(MessageType(.successResponse, .refresh).rawValue == 0x0104)
        #expect(MessageType(.request, .createPermission).rawValue == 0x0008)
        #expect(MessageType(.request, .channelBind).rawValue == 0x0009)
    }

    @Test("A header that is not STUN's is refused for its reason")
    func headers() {
        let good = rawMessage()
        #expect(parseError(good) == nil)
        for count in 0..<20 { #expect(parseError(Array(good[..<count])) == .truncated) }
        #expect(parseError(rawMessage(type: 0x4001)) == .notSTUN)
        #expect(parseError(rawMessage(type: 0x8001)) == .notSTUN)
        #expect(parseError(rawMessage(cookie: 0x2112_A443)) == .badMagicCookie)
        #expect(parseError(good + [0, 0, 0, 0]) == .badLength)
        #expect(parseError(rawMessage(length: 4)) == .badLength)
        #expect(parseError(rawMessage(length: 2) + [0, 0]) == .badLength)
        #expect(!looksLikeSTUN(rawMessage(cookie: 0)))
        #expect(!looksLikeSTUN(rawMessage(type: 0x4001)))
        #expect(!looksLikeSTUN(good.dropLast()))
        #expect(looksLikeSTUN(good))
    }

    @Test("An attribute that runs over the end is refused, its padding too")
    func attributeLengths() {
        #expect(parseError(rawMessage(length: 4) + hex("0006 0000")) == nil)
        #expect(parseError(rawMessage(length: 4) + hex("0006 0001")) == .badAttributeLength)
        #expect(parseError(rawMessage(length: 8) + hex("0006 0004 61616161")) == nil)
        #expect(parseError(rawMessage(length: 8) + hex("0006 0005 61616161")) == .badAttributeLength)
        #expect(parseError(rawMessage(length: 8) + hex("0006 FFFF 61616161")) == .badAttributeLength)
        #expect(parseError(rawMessage(length: 8) + hex("8028 0000 8028 0004")) == .badAttributeLength)
    }

    @Test("The longest message that the length field can say is read to its end")
    func longest() throws {
        let bytes = rawMessage([(0x0013, Array(repeating: 7, count: 0xFFF4)), (0x8022, [])])
        #expect(bytes.count == 20 + 0xFFFC)
        try withMessage(bytes) { message in
            let last = message.first(.software)?.valueOffset
            #expect(last == bytes.count)
            let types = attributeTypes(message)
            #expect(types == [.data, .software])
        }
        let signed = rawMessage([(0x0013, Array(repeating: 7, count: 0xFFF0)), (0x8028, hex("01020304"))])
        try withMessage(signed) { message in
            let fingerprint = message.hasValidFingerprint()
            #expect(fingerprint == false)
        }
    }

    @Test("Of several attributes of a type the first counts")
    func firstCounts() throws {
        try withMessage(rawMessage([(0x000D, hex("00000001")), (0x000D, hex("00000002"))])) { message in
            let lifetime = message.first(.lifetime)?.uint32
            #expect(lifetime == 1)
            let nonce = message.first(.nonce) == nil
            #expect(nonce)
        }
    }

    @Test(
        "What follows the integrity attributes is ignored, but for what may follow",
        arguments: [
            ([0x0006, 0x0008, 0x0014, 0x8028], [0x0006, 0x0008, 0x8028]),
            ([0x0008, 0x001C, 0x0006, 0x8028], [0x0008, 0x001C, 0x8028]),
            ([0x0008, 0x0008, 0x001C, 0x001C], [0x0008, 0x001C]),
            ([0x001C, 0x0008, 0x8028], [0x001C, 0x8028]),
            ([0x001C, 0x0006, 0x0008], [0x001C]),
            ([0x8028, 0x0006, 0x0008, 0x001C], [0x8028]),
            ([0x0006, 0x0014, 0x8022], [0x0006, 0x0014, 0x8022]),
        ] as [([UInt16], [UInt16])])
    func visibility(sent: [UInt16], counted: [UInt16]) throws {
        try withMessage(rawMessage(sent.map { ($0, [1, 2, 3, 4]) })) { message in
            let types = attributeTypes(message).map(\.rawValue)
            #expect(types == counted)
            let hidden = Set(sent).subtracting(counted).map(AttributeType.init(rawValue:))
            for type in hidden {
                let isFound = message.first(type) != nil
                #expect(!isFound)
            }
        }
    }

    @Test("Unknown attributes that must be understood are listed once, in order, if they count")
    func unknownAttributes() throws {
        let sent: [UInt16] = [0x7FFF, 0x0006, 0x0FF0, 0x8FFF, 0x7FFF, 0x0024, 0x0008, 0x0025]
        try withMessage(rawMessage(sent.map { ($0, []) })) { message in
            let hasUnknown = message.hasUnknownRequiredAttributes
            #expect(hasUnknown)
            let unknown = message.unknownRequiredAttributes().map(\.rawValue)
            #expect(unknown == [0x7FFF, 0x0FF0, 0x0024])
            let two = message.unknownRequiredAttributes(limit: 2).map(\.rawValue)
            #expect(two == [0x7FFF, 0x0FF0])
        }
        try withMessage(rawMessage([(0x0006, []), (0x8FFF, []), (0x0008, []), (0x0025, [])])) { message in
            let hasUnknown = message.hasUnknownRequiredAttributes
            #expect(!hasUnknown)
            let unknown = message.unknownRequiredAttributes()
            #expect(unknown.isEmpty)
        }
    }

    @Test("Types have the numbers of RFC 8489 section 18.3 and RFC 8656 section 18, and only they are known")
    func attributeNumbers() {
        let required: [AttributeType: UInt16] = [
            .mappedAddress: 0x0001, .username: 0x0006, .messageIntegrity: 0x0008, .errorCode: 0x0009,
            .unknownAttributes: 0x000A, .channelNumber: 0x000C, .lifetime: 0x000D, .xorPeerAddress: 0x0012,
            .data: 0x0013, .realm: 0x0014, .nonce: 0x0015, .xorRelayedAddress: 0x0016,
            .requestedAddressFamily: 0x0017, .evenPort: 0x0018, .requestedTransport: 0x0019, .dontFragment: 0x001A,
            .messageIntegritySHA256: 0x001C, .passwordAlgorithm: 0x001D, .userHash: 0x001E,
            .xorMappedAddress: 0x0020, .reservationToken: 0x0022,
        ]
        let optional: [AttributeType: UInt16] = [
            .additionalAddressFamily: 0x8000, .addressErrorCode: 0x8001, .passwordAlgorithms: 0x8002,
            .alternateDomain: 0x8003, .icmp: 0x8004, .software: 0x8022, .alternateServer: 0x8023,
            .fingerprint: 0x8028,
        ]
        for (type, number) in required {
            #expect(type.rawValue == number)
            #expect(type.isComprehensionRequired)
        }
        for (type, number) in optional {
            #expect(type.rawValue == number)
            #expect(!type.isComprehensionRequired)
        }
        let known = Set(required.values).union(optional.values)
        let claimed = Set((UInt16(0)...0xFFFF).filter { AttributeType(rawValue: $0).isKnown })
        #expect(claimed == known)
    }

    private func looksLikeSTUN(_ bytes: [UInt8]) -> Bool { Message.looksLikeSTUN(bytes.span.bytes) }

    private func parseError(_ bytes: [UInt8]) -> ParseError? {
        do throws(ParseError) {
            _ = try Message(parsing: bytes.span.bytes)
            return nil
        } catch {
            return error
        }
    }
}
