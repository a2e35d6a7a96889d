import Foundation
import Testing

@testable import relayd

@Suite("What the service manager is told")
struct ServiceManagerTests {
    /// A datagram socket as systemd has one.
    private final class Listener {
        let name: String
        private let descriptor: Int32

        init(isAbstract: Bool) throws {
            let unique = "relayd-notify-\(UUID())"
            name = isAbstract ? "@\(unique)" : FileManager.default.temporaryDirectory.appending(path: unique).path
            descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            let path = Array(name.utf8)
            withUnsafeMutableBytes(of: &address.sun_path) { bytes in
                bytes.copyBytes(from: path)
                if isAbstract { bytes[0] = 0 }
            }
            let length = socklen_t(2 + path.count + (isAbstract ? 0 : 1))
            let status = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, length) }
            }
            try #require(status == 0)
        }

        func next() -> String {
            var buffer = [UInt8](repeating: 0, count: 512)
            let count = recv(descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
            return count < 0 ? "nothing" : String(decoding: buffer[..<count], as: UTF8.self)
        }

        deinit {
            close(descriptor)
            unlink(name)
        }
    }

    @Test(
        "READY, RELOADING, WATCHDOG and STOPPING arrive, by a path and by an abstract name", arguments: [false, true])
    func messages(isAbstract: Bool) throws {
        let listener = try Listener(isAbstract: isAbstract)
        let manager = ServiceManager(["NOTIFY_SOCKET": listener.name])
        manager.ready("relaying")
        #expect(listener.next() == "READY=1\nSTATUS=relaying")
        manager.reloading()
        #expect(listener.next().wholeMatch(of: /RELOADING=1\nMONOTONIC_USEC=[0-9]+/) != nil)
        manager.signOfLife()
        #expect(listener.next() == "WATCHDOG=1")
        manager.stopping()
        #expect(listener.next() == "STOPPING=1")
        #expect(manager.watchdogMicroseconds == nil)
    }

    @Test("A watchdog is for the process that it names")
    func watchdog() {
        #expect(ServiceManager(["WATCHDOG_USEC": "30000000"]).watchdogMicroseconds == 30_000_000)
        #expect(ServiceManager(["WATCHDOG_USEC": "5", "WATCHDOG_PID": "7"], pid: 7).watchdogMicroseconds == 5)
        #expect(ServiceManager(["WATCHDOG_USEC": "5", "WATCHDOG_PID": "8"], pid: 7).watchdogMicroseconds == nil)
    }

    @Test(
        "No socket, or one that is gone: nothing happens",
        arguments: [
            [:], ["NOTIFY_SOCKET": "/nonexistent/socket"],
            ["NOTIFY_SOCKET": "relative"], ["NOTIFY_SOCKET": "/" + String(repeating: "x", count: 200)],
        ])
    func absent(environment: [String: String]) {
        ServiceManager(environment).ready()
    }
}
