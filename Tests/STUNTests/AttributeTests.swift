import STUN
import Testing

@Suite("Attributes, there and back")
struct AttributeTests {
    @Test("Numbers and flags have their bytes")
    func numbers() throws {
        let bytes = write(.request, .allocate) { writer in
            writer.append(.lifetime, uint32: 0x0102_0304)
            writer.appendChannelNumber(0x4ABC)
            writer.append(.requestedAddressFamily, family: .ipv6)
            writer.append(.additionalAddressFamily, family: .ipv4)
            writer.appendRequestedTransport(17)
            writer.appendEvenPort(reservingNext: true)
            writer.append(.dontFragment)
            writer.append(.reservationToken, uint64: 0x0102_0304_0506_0708)
            writer.appendICMP(ICMPAttribute(type: 3, code: 4, data: 1400))
        }
        let body = """
            000d0004 01020304  000c0004 4abc0000  00170004 02000000  80000004 01000000  00190004 11000000
            00180001 80000000  001a0000  00220008 0102030405060708  80040008 00000304 00000578
            """
        #expect(Array(bytes[20...]) == hex(body))
        try withMessage(bytes) { message in
            let lifetime = message.first(.lifetime)?.uint32
            #expect(lifetime == 0x0102_0304)
            let channel = message.first(.channelNumber)?.channelNumber
            #expect(channel == 0x4ABC)
            let requested = message.first(.requestedAddressFamily)?.addressFamilyByte
            #expect(requested == AddressFamily.ipv6.rawValue)
            let additional = message.first(.additionalAddressFamily)?.addressFamilyByte
            #expect(additional == AddressFamily.ipv4.rawValue)
            let transport = message.first(.requestedTransport)?.requestedTransport
            #expect(transport == 17)
            let evenPort = message.first(.evenPort)?.evenPort
            #expect(evenPort == true)
            let dontFragment = message.first(.dontFragment)?.value.byteCount
            #expect(dontFragment == 0)
            let token = message.first(.reservationToken)?.reservationToken
            #expect(token == 0x0102_0304_0506_0708)
            let icmp = message.first(.icmp)?.icmp
            #expect(icmp == ICMPAttribute(type: 3, code: 4, data: 1400))
        }
        let single = write { $0.appendEvenPort(reservingNext: false) }
        #expect(Array(single[20...]) == hex("00180001 00000000"))
    }

    @Test("Reserved bits are ignored")
    func reservedBits() throws {
        let bytes = rawMessage([
            (0x000C, hex("4001ffff")), (0x0017, hex("02ffffff")), (0x0018, hex("7f")), (0x0019, hex("11ffffff")),
            (0x8004, hex("ffff030400000000")), (0x0009, hex("fffffc01")), (0x0001, hex("ff01 0d96 c0000201")),
        ])
        try withMessage(bytes) { message in
            let channel = message.first(.channelNumber)?.channelNumber
            #expect(channel == 0x4001)
            let family = message.first(.requestedAddressFamily)?.addressFamilyByte
            #expect(family == 2)
            let evenPort = message.first(.evenPort)?.evenPort
            #expect(evenPort == false)
            let transport = message.first(.requestedTransport)?.requestedTransport
            #expect(transport == 17)
            let icmp = message.first(.icmp)?.icmp
            #expect(icmp == ICMPAttribute(type: 3, code: 4, data: 0))
            let code = message.first(.errorCode)?.errorCode
            #expect(code == 401)
            let address = message.first(.mappedAddress)?.address
            #expect(address == TransportAddress("192.0.2.1:3478"))
        }
    }

    @Test("Addresses of both families, plain and XORed", arguments: ["192.0.2.1:32853", "[2001:db8::77]:1"])
    func addresses(text: String) throws {
        let address = try #require(TransportAddress(text))
        let id = TransactionID(high: 0xDEAD_BEEF, low: 0x0123_4567_89AB_CDEF)
        let bytes = write(.successResponse, .allocate, id: id) { writer in
            writer.append(.mappedAddress, address: address)
            writer.append(.alternateServer, address: address)
            writer.append(.xorMappedAddress, xorAddress: address)
            writer.append(.xorPeerAddress, xorAddress: address)
            writer.append(.xorRelayedAddress, xorAddress: address)
        }
        try withMessage(bytes) { message in
            let plain = [message.first(.mappedAddress)?.address, message.first(.alternateServer)?.address]
            #expect(plain == [address, address])
            let masked = [
                message.first(.xorMappedAddress)?.xorAddress(id), message.first(.xorPeerAddress)?.xorAddress(id),
                message.first(.xorRelayedAddress)?.xorAddress(id),
            ]
            #expect(masked == [address, address, address])
            let unmasked = message.first(.xorPeerAddress)?.address
            #expect(unmasked != address)
            let otherID = TransactionID(high: 0xDEAD_BEEF, low: 0)
            let ofOtherID = message.first(.xorPeerAddress)?.xorAddress(otherID)
            // Only an IPv6 address is masked with the transaction ID.
            #expect((ofOtherID == address) == (address.family == .ipv4))
        }
    }

    @Test("The XOR is with the magic cookie and the transaction ID, in wire order")
    func xorBytes() throws {
        let address = try #require(TransportAddress("[::]:0"))
        let bytes = write(id: TransactionID(high: 0x0102_0304, low: 0x0506_0708_090A_0B0C)) {
            $0.append(.xorPeerAddress, xorAddress: address)
        }
        #expect(Array(bytes[20...]) == hex("00120014 0002 2112 2112a442 0102030405060708090a0b0c"))
    }

    @Test("Text and data are kept, their padding is zero", arguments: 0..<10)
    func texts(byteCount: Int) throws {
        let text = String(repeating: "é", count: byteCount / 2) + String(repeating: "x", count: byteCount % 2)
        let data = Array(repeating: UInt8(0xFF), count: byteCount)
        let bytes = write { writer in
            writer.append(.realm, text: text)
            writer.append(.data, bytes: data.span.bytes)
        }
        let padding = Array(repeating: UInt8(0), count: (4 - byteCount % 4) % 4)
        let expected =
            bigEndian(UInt16(0x0014)) + bigEndian(UInt16(byteCount)) + Array(text.utf8) + padding
            + bigEndian(UInt16(0x0013)) + bigEndian(UInt16(byteCount)) + data + padding
        #expect(Array(bytes[20...]) == expected)
        try withMessage(bytes) { message in
            let realm = message.first(.realm)?.value.text
            #expect(realm == text)
            let value = message.first(.data)?.value.array
            #expect(value == data)
        }
    }

    @Test("Every error code has its number, with and without its reason")
    func errorCodes() throws {
        let expected: [(ErrorCode, UInt16)] = [
            (.tryAlternate, 300), (.badRequest, 400), (.unauthenticated, 401), (.forbidden, 403),
            (.unknownAttribute, 420), (.allocationMismatch, 437), (.staleNonce, 438),
            (.addressFamilyNotSupported, 440), (.wrongCredentials, 441), (.unsupportedTransportProtocol, 442),
            (.peerAddressFamilyMismatch, 443), (.connectionAlreadyExists, 446), (.allocationQuotaReached, 486),
            (.serverError, 500), (.insufficientCapacity, 508),
        ]
        for (error, number) in expected {
            #expect(error.code == number)
            let bytes = write(.errorResponse, .allocate) { writer in
                writer.appendErrorCode(error)
                writer.appendAddressErrorCode(.ipv6, error, withReason: false)
            }
            try withMessage(bytes) { message in
                let code = message.first(.errorCode)?.errorCode
                #expect(code == number)
                let reason = message.first(.errorCode)?.errorReason?.text
                #expect(reason == error.reason)
                let addressError = message.first(.addressErrorCode)?.value.array
                #expect(addressError == [2, 0, UInt8(number / 100), UInt8(number % 100)])
                let family = message.first(.addressErrorCode)?.addressErrorFamilyByte
                #expect(family == 2)
                let addressReason = message.first(.addressErrorCode)?.errorReason?.byteCount
                #expect(addressReason == 0)
            }
        }
        let minimal = write(.errorResponse, .allocate) { $0.appendErrorCode(.unauthenticated, withReason: false) }
        #expect(Array(minimal[20...]) == hex("00090004 00000401"))
    }

    @Test("Lists: unknown attributes and password algorithms")
    func lists() throws {
        let unknown = [AttributeType(rawValue: 0x0024), AttributeType(rawValue: 0x7FFF), AttributeType(rawValue: 0)]
        let bytes = write { writer in
            writer.appendUnknownAttributes(unknown)
            writer.appendPasswordAlgorithms([.sha256, .md5])
            writer.appendPasswordAlgorithm(.md5)
        }
        let body = "000a0006 0024 7fff 0000 0000  80020008 00020000 00010000  001d0004 00010000"
        #expect(Array(bytes[20...]) == hex(body))
        try withMessage(bytes) { message in
            let types = message.first(.unknownAttributes)?.unknownAttributes
            #expect(types == unknown)
            let offered = algorithmNumbers(message.first(.passwordAlgorithms))
            #expect(offered == [2, 1])
            let chosen = message.first(.passwordAlgorithm)?.passwordAlgorithmNumber
            #expect(chosen == 1)
            let ofList = message.first(.passwordAlgorithms)?.passwordAlgorithmNumber
            #expect(ofList == nil)
        }
    }

    @Test("Password algorithms of the future, with parameters, can be passed over")
    func algorithmParameters() throws {
        let bytes = rawMessage([(0x8002, hex("0009 0005 6162636465 000000  0002 0000  0007 0001 61"))])
        try withMessage(bytes) { message in
            let offered = algorithmNumbers(message.first(.passwordAlgorithms))
            #expect(offered == [9, 2, 7])
            guard let attribute = message.first(.passwordAlgorithms), var entries = attribute.passwordAlgorithms,
                let first = entries.next()
            else {
                Issue.record("no entry")
                return
            }
            let parameters = first.parameters.text
            #expect(parameters == "abcde")
        }
    }

    @Test(
        "A value of a wrong size or range reads as nothing",
        arguments: [
            "", "01", "0102", "010203", "0000 02 01", "0000 07 00", "0000 04 64", "0001 0001 c0000201 00",
            "0003 0001 c0000201", "0002 0001 c0000201", "0001 0001 c00002", "0002 0005 61", "0002 0000 00",
        ])
    func malformed(value: String) throws {
        let bytes = hex(value)
        try withMessage(rawMessage([(0x7FFF, bytes)])) { message in
            guard let attribute = message.first(AttributeType(rawValue: 0x7FFF)) else {
                Issue.record("the attribute is not found")
                return
            }
            let hasAddress = attribute.address != nil || attribute.xorAddress(someID) != nil
            #expect(!hasAddress)
            let hasCode = attribute.errorCode != nil
            #expect(!hasCode)
            let hasWord = attribute.uint32 != nil || attribute.channelNumber != nil
            #expect(hasWord == (bytes.count == 4))
            let hasOctet = attribute.addressFamilyByte != nil || attribute.requestedTransport != nil
            #expect(hasOctet == (bytes.count == 4))
            let hasFlag = attribute.evenPort != nil
            #expect(hasFlag == (bytes.count == 1))
            let hasLong = attribute.reservationToken != nil || attribute.icmp != nil
            #expect(hasLong == (bytes.count == 8))
            let hasUserHash = attribute.userHash != nil
            #expect(!hasUserHash)
            let hasTypes = attribute.unknownAttributes != nil
            #expect(hasTypes == (bytes.count % 2 == 0))
        }
    }

    @Test(
        "Password algorithms that are not whole read as nothing",
        arguments: ["00", "000100", "0002 0001", "0002 0005 61616161", "0002 0000 00", "0002 0000 0002 0001"])
    func malformedAlgorithms(value: String) throws {
        try withMessage(rawMessage([(0x8002, hex(value))])) { message in
            let numbers = algorithmNumbers(message.first(.passwordAlgorithms))
            #expect(numbers == nil)
            let number = message.first(.passwordAlgorithms)?.passwordAlgorithmNumber
            #expect(number == nil)
        }
    }

    private func algorithmNumbers(_ attribute: Attribute?) -> [UInt16]? {
        guard let attribute, var entries = attribute.passwordAlgorithms else { return nil }
        var numbers: [UInt16] = []
        while let entry = entries.next() { numbers.append(entry.number) }
        return numbers
    }
}
