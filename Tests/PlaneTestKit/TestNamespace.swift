import CLinux
import Foundation
import Glibc

/// A network namespace with a loopback of its own, removed at the end. Sockets that are opened `inside` stay in it,
/// whichever thread uses them later.
package final class TestNamespace {
    package let name: String

    /// Whether this process may make namespaces.
    package static let isAllowed: Bool = {
        guard getuid() == 0 else { return false }
        return (try? TestNamespace()) != nil
    }()

    private static func path(of name: String) -> String { "/var/run/netns/\(name)" }

    package struct CommandFailed: Error { let arguments: [String] }

    package init() throws {
        name = "relayd-test-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        try Self.ip("netns", "add", name)
        try command("link", "set", "lo", "up")
    }

    deinit { try? Self.ip("netns", "delete", name) }

    /// Runs `ip` with these arguments inside.
    package func command(_ arguments: String...) throws { try command(arguments) }

    package func command(_ arguments: [String]) throws { try Self.run(["-n", name] + arguments) }

    /// Runs `body` on a thread that is inside.
    package func inside<R>(_ body: @escaping () throws -> R) throws -> R {
        let path = Self.path(of: name)
        nonisolated(unsafe) var result: Result<R, any Error>?
        nonisolated(unsafe) let body = body
        let done = DispatchSemaphore(value: 0)
        let thread = Thread {
            let entered = clinux_enter_network_namespace(path)
            result = entered == 0 ? Result { try body() } : .failure(CommandFailed(arguments: ["setns", path]))
            done.signal()
        }
        thread.start()
        done.wait()
        // The thread may live on for a moment; what it made must not.
        guard let made = result.take() else { throw CommandFailed(arguments: ["thread"]) }
        return try made.get()
    }

    package static func ip(_ arguments: String...) throws { try run(arguments) }

    private static func run(_ arguments: [String]) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["ip"] + arguments
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw CommandFailed(arguments: arguments) }
    }
}

extension TestNamespace {
    /// Makes the kernel compute every checksum of what leaves by `device`.
    package func switchOffChecksums(of device: String) throws {
        try Self.ip("netns", "exec", name, "ethtool", "-K", device, "tx", "off")
    }

    /// Makes a veth take what an XDP program at its other end transmits.
    package func switchOnReceiveOffload(of device: String) throws {
        try Self.ip("netns", "exec", name, "ethtool", "-K", device, "gro", "on")
    }
}
