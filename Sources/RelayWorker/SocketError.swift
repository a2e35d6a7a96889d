import CLinux
import STUN

/// Why a socket could not be opened, in a person's words.
public struct SocketError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What a caller can act on.
    public enum Kind: Sendable, Equatable {
        /// Another socket has the port (`EADDRINUSE`).
        case addressInUse
        /// The address is not one of this host (`EADDRNOTAVAIL`).
        case addressNotAvailable
        /// The port or the option needs a privilege (`EACCES`, `EPERM`).
        case permissionDenied
        /// No descriptors or no memory are left (`EMFILE`, `ENFILE`, `ENOMEM`, `ENOBUFS`).
        case outOfDescriptors
        /// The host does not speak this IP version (`EAFNOSUPPORT`).
        case familyNotSupported
        /// Anything else, by `errno`.
        case other(Int32)
    }

    public let kind: Kind
    /// What could not be opened: `UDP 192.0.2.1:3478`.
    public let subject: String

    public init(kind: Kind, subject: String) {
        self.kind = kind
        self.subject = subject
    }

    /// - Parameter errno: the positive number that a system call left.
    public init(errno: Int32, subject: String) {
        let kind: Kind =
            switch errno {
            case EADDRINUSE: .addressInUse
            case EADDRNOTAVAIL: .addressNotAvailable
            case EACCES, EPERM: .permissionDenied
            case EMFILE, ENFILE, ENOMEM, ENOBUFS: .outOfDescriptors
            case EAFNOSUPPORT: .familyNotSupported
            default: .other(errno)
            }
        self.init(kind: kind, subject: subject)
    }

    /// - Parameter errno: the positive number that a system call left.
    init(errno: Int32, at address: TransportAddress) {
        self.init(errno: errno, subject: "UDP \(address)")
    }

    /// What happened, why, and what a person can do about it.
    public var description: String { "cannot open \(subject): \(why). \(mend)." }

    private var why: String {
        switch kind {
        case .addressInUse: "another socket is bound to it"
        case .addressNotAvailable: "the address belongs to no interface of this host"
        case .permissionDenied: "permission denied"
        case .outOfDescriptors: "no descriptors or socket memory are left"
        case .familyNotSupported: "this host does not speak that IP version"
        case .other(let number): String(systemErrorNumber: number)
        }
    }

    private var mend: String {
        switch kind {
        case .addressInUse: "Stop the program that has the port (ss -ulnp names it) or choose another port"
        case .addressNotAvailable: "Name an address that ip address lists, or a wildcard"
        case .permissionDenied: "Use a port above 1023, or grant CAP_NET_BIND_SERVICE"
        case .outOfDescriptors: "Raise the limit of open files (ulimit -n, LimitNOFILE)"
        case .familyNotSupported: "Leave out the addresses of that IP version"
        case .other: "Check the address and the limits of this process"
        }
    }
}

extension String {
    /// The system's text for an `errno`, with the number.
    public init(systemErrorNumber number: Int32) {
        let text = unsafe clinux_error_text(number).map { unsafe String(cString: $0) }
        self = "\(text ?? "unknown error") (errno \(number))"
    }
}
