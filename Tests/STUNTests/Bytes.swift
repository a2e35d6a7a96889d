import STUN

/// Bytes from hexadecimal digits; white space is for the reader.
func hex(_ digits: String) -> [UInt8] {
    var bytes: [UInt8] = []
    var high: UInt8?
    for character in digits where !character.isWhitespace {
        guard let value = character.hexDigitValue.map(UInt8.init) else {
            preconditionFailure("\(character) is no hexadecimal digit")
        }
        if let upper = high {
            bytes.append(upper << 4 | value)
            high = nil
        } else {
            high = value
        }
    }
    return bytes
}

extension RawSpan {
    var array: [UInt8] { byteOffsets.map { byte(at: $0) } }
    var text: String { String(decoding: array, as: UTF8.self) }
}

/// Parses `bytes` and hands the message to `body`.
func withMessage<Result>(_ bytes: [UInt8], _ body: (Message) throws -> Result) throws -> Result {
    let message = try Message(parsing: bytes.span.bytes)
    return try body(message)
}

/// The types of the attributes that count, in order.
func attributeTypes(_ message: Message) -> [AttributeType] {
    var types: [AttributeType] = []
    var attributes = message.attributes
    while let attribute = attributes.next() { types.append(attribute.type) }
    return types
}

let someID = TransactionID(high: 0xB7E7_A701, low: 0xBC34_D686_FA87_DFAE)

/// The bytes of an unsigned message that `fill` gives its attributes.
func write(
    _ messageClass: MessageClass = .request, _ method: Method = .binding, id: TransactionID = someID,
    fingerprint: Bool = false, _ fill: (inout MessageWriter) -> Void = { _ in }
) -> [UInt8] {
    var writer = MessageWriter(capacityBytes: 2048)
    writer.begin(messageClass, method, id)
    fill(&writer)
    guard let range = writer.finish(fingerprint: fingerprint) else { preconditionFailure("2048 bytes are enough") }
    return writer.bytes(range).array
}

/// A message put together by hand: any attributes in any order, lengths as they are.
func rawMessage(
    type: UInt16 = 0x0001, length: Int? = nil, cookie: UInt32 = 0x2112_A442, _ attributes: [(UInt16, [UInt8])] = []
) -> [UInt8] {
    var body: [UInt8] = []
    for (type, value) in attributes {
        body += bigEndian(type) + bigEndian(UInt16(value.count)) + value
        body += Array(repeating: 0, count: (4 - value.count % 4) % 4)
    }
    let id: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
    return bigEndian(type) + bigEndian(UInt16(length ?? body.count)) + bigEndian(cookie) + id + body
}

func bigEndian<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
    stride(from: Value.bitWidth - 8, through: 0, by: -8).map { UInt8(truncatingIfNeeded: value >> Value($0)) }
}
