import STUN

/// One rule about data, tried on every plane. What is observed is a text, and the same texts make the documentation.
struct EquivalenceCase: Sendable {
    /// What must be observed.
    enum Expectation: Sendable {
        /// The same on every plane.
        case same(String)
        /// Sockets cannot do what the kernel half does.
        case differs(kernel: String, sockets: String)

        func text(on stack: PlaneStack) -> String {
            switch self {
            case .same(let text): text
            case .differs(let kernel, let sockets): stack.forwardsInKernel ? kernel : sockets
            }
        }
    }

    /// What comes in, such as "padding behind channel data".
    let subject: String
    /// In which of several combinations, such as "IPv4 client, IPv6 peer"; nothing where there is one.
    var way: String?
    /// Where it is written, such as "RFC 8656 section 12.5".
    let rule: String
    let expects: Expectation
    var name: String { way.map { "\(subject), \($0)" } ?? subject }

    let observe: @Sendable (RelayStage) throws -> String

    static let all = PayloadCases.all + PermissionCases.all + HairpinCases.all + HeaderCases.all
}

extension RelayStage.Families: CustomStringConvertible {
    static let all = AddressFamily.allCases.flatMap { client in
        AddressFamily.allCases.map { RelayStage.Families(client: client, peer: $0) }
    }

    var description: String { "\(client.short) client, \(peer.short) peer" }
}

extension AddressFamily {
    var short: String { self == .ipv4 ? "IPv4" : "IPv6" }
}

/// `whole, in order` when both are equal; else what is wrong.
func comparison(_ got: [[UInt8]], _ sent: [[UInt8]]) -> String {
    guard got != sent else { return "whole, in order" }
    return "\(got.count) of \(sent.count) arrived, of \(got.map(\.count)) bytes"
}
