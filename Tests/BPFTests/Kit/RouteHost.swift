import Foundation
import PlaneTestKit
import STUN
import Testing

@testable import DataPlaneXDP

/// A host with one interface and one router, in a namespace of its own, and the routes of a relay there.
struct RouteHost {
    static let interface = "x0"

    let finder: WayFinder
    let table: RouteTable
    let interface: NetworkInterface

    static func namespace() throws -> TestNamespace {
        let namespace = try TestNamespace()
        try namespace.command("link", "add", interface, "type", "veth", "peer", "name", "x1")
        try namespace.command("link", "set", "x1", "up")
        try namespace.command("address", "add", "192.0.2.1/24", "dev", interface)
        try namespace.command("link", "set", interface, "up")
        try namespace.command("route", "add", "default", "via", "192.0.2.254")
        try namespace.command("neigh", "add", "192.0.2.254", "lladdr", "02:00:00:00:00:0a", "dev", interface)
        return namespace
    }

    /// With these on the same link, in 10.0.0.0/8, and their MAC addresses known.
    static func namespace(withNeighbours neighbours: [IPAddress]) throws -> TestNamespace {
        let namespace = try namespace()
        try namespace.command("route", "add", "10.0.0.0/8", "dev", interface)
        let batch = neighbours.enumerated().map { number, address in
            let octets = [number >> 16, number >> 8, number].map { $0 & 0xFF }.map { String($0, radix: 16) }
            return "neigh add \(address) lladdr 02:00:01:\(octets.joined(separator: ":")) dev \(interface)\n"
        }
        let file = FileManager.default.temporaryDirectory.appending(path: "\(namespace.name).batch")
        try batch.joined().write(to: file, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(at: file) }
        try namespace.command("-batch", file.path)
        return namespace
    }

    /// Of its interface. Inside the namespace.
    static func finder() throws -> WayFinder {
        let interface = try #require(NetworkInterface(name: interface))
        return try WayFinder(.read(attachedTo: [interface.index]), looksUp: true)
    }

    /// Its memory is the table's: it must live as long.
    private let program: XDPProgram

    /// Inside the namespace.
    init(_ program: XDPProgram) throws {
        self.program = program
        interface = try #require(NetworkInterface(name: Self.interface))
        finder = try Self.finder()
        table = RouteTable(
            program, policy: RouteTable.Policy(relayAddresses: [World.relay4], hashSeed: Kernel.seed), finder: finder,
            clock: try LeaseClock.read(program))
    }
}

extension XDPOptions {
    /// Of a relay that has one address, for clients and peers.
    init(serving address: IPAddress, on interface: String) {
        self.init()
        interfaces = [interface]
        addresses = [address]
        relayAddresses = [address]
    }
}
