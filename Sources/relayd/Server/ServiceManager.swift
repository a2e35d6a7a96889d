// Unsafe code: the address of a Unix socket is a C structure with the path in a fixed array.
import Glibc

/// systemd, if it started this process: sd_notify(3) over the datagram socket that `NOTIFY_SOCKET` names. Without one
/// nothing is said. Failures are nobody's affair: a manager that is gone cannot be told so.
struct ServiceManager: Sendable {
    private let address: [UInt8]?
    /// How often a sign of life is wanted; nothing where none is.
    let watchdogMicroseconds: UInt64?

    /// - Parameter environment: `NOTIFY_SOCKET`, a path or, after `@`, an abstract name; `WATCHDOG_USEC` and `WATCHDOG_PID`.
    init(_ environment: [String: String], pid: pid_t = getpid()) {
        address = environment["NOTIFY_SOCKET"].flatMap(Self.address)
        let isForUs = environment["WATCHDOG_PID"].map { $0 == "\(pid)" } ?? true
        watchdogMicroseconds = isForUs ? environment["WATCHDOG_USEC"].flatMap { UInt64($0) } : nil
    }

    func ready(_ status: String? = nil) { send(["READY=1"] + (status.map { ["STATUS=\($0)"] } ?? [])) }

    /// To be followed by ``ready(_:)`` (Type=notify-reload wants the time as well).
    func reloading() {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        send(["RELOADING=1", "MONOTONIC_USEC=\(now.tv_sec * 1_000_000 + now.tv_nsec / 1000)"])
    }

    func stopping() { send(["STOPPING=1"]) }

    func signOfLife() { send(["WATCHDOG=1"]) }

    func status(_ text: String) { send(["STATUS=\(text)"]) }

    private func send(_ lines: [String]) {
        guard let address else { return }
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        var text = lines.joined(separator: "\n")
        text.withUTF8 { text in
            address.withUnsafeBytes { address in
                guard let name = address.baseAddress else { return }
                _ = sendto(
                    descriptor, text.baseAddress, text.count, Int32(MSG_NOSIGNAL),
                    name.assumingMemoryBound(to: sockaddr.self), socklen_t(address.count))
            }
        }
    }

    /// `sockaddr_un` as bytes: the family, then the path; an abstract name begins with a zero.
    private static func address(_ text: String) -> [UInt8]? {
        var path = Array(text.utf8)
        // 108 bytes are all there is room for (unix(7)).
        guard (2...107).contains(path.count), path[0] == UInt8(ascii: "/") || path[0] == UInt8(ascii: "@") else {
            return nil
        }
        let isAbstract = path[0] == UInt8(ascii: "@")
        if isAbstract { path[0] = 0 } else { path.append(0) }
        let family = withUnsafeBytes(of: sa_family_t(AF_UNIX)) { Array($0) }
        return family + path
    }
}
