/// An error code, 300 to 699, with the reason phrase that goes beside it (RFC 8489 section 14.8).
public struct ErrorCode: Sendable, Hashable {
    public let code: UInt16
    public let reason: String

    /// `code` must be within 300 and 699.
    public init(_ code: UInt16, _ reason: String) {
        precondition((300...699).contains(code), "An error code is within 300 and 699")
        self.code = code
        self.reason = reason
    }
}

/// The codes of RFC 8489 section 14.8 (300, 400, 401, 420, 438, 500), of RFC 6062 (446) and of RFC 8656 section 19 (the
/// others).
extension ErrorCode {
    public static let tryAlternate = ErrorCode(300, "Try Alternate")
    public static let badRequest = ErrorCode(400, "Bad Request")
    public static let unauthenticated = ErrorCode(401, "Unauthenticated")
    public static let forbidden = ErrorCode(403, "Forbidden")
    public static let unknownAttribute = ErrorCode(420, "Unknown Attribute")
    public static let allocationMismatch = ErrorCode(437, "Allocation Mismatch")
    public static let staleNonce = ErrorCode(438, "Stale Nonce")
    public static let addressFamilyNotSupported = ErrorCode(440, "Address Family not Supported")
    public static let wrongCredentials = ErrorCode(441, "Wrong Credentials")
    public static let unsupportedTransportProtocol = ErrorCode(442, "Unsupported Transport Protocol")
    public static let peerAddressFamilyMismatch = ErrorCode(443, "Peer Address Family Mismatch")
    public static let connectionAlreadyExists = ErrorCode(446, "Connection Already Exists")
    public static let allocationQuotaReached = ErrorCode(486, "Allocation Quota Reached")
    public static let serverError = ErrorCode(500, "Server Error")
    public static let insufficientCapacity = ErrorCode(508, "Insufficient Capacity")
}
