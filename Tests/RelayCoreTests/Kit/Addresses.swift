public import STUN

extension TransportAddress: ExpressibleByStringLiteral {
    /// `"192.0.2.1:5000"` or `"[2001:db8::1]:5000"` in a script.
    public init(stringLiteral text: String) {
        guard let address = TransportAddress(text) else { preconditionFailure("\(text) is no transport address") }
        self = address
    }
}

/// An address that a script writes down. `IPAddress` itself is no literal: `IPAddress("...")` has to stay the initialiser
/// that may fail.
func ip(_ text: String) -> IPAddress {
    guard let address = IPAddress(text) else { preconditionFailure("\(text) is no address") }
    return address
}
