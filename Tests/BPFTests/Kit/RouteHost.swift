import PlaneTestKit
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

    /// Its memory is the table's: it must live as long.
    private let program: XDPProgram

    /// Inside the namespace.
    init(_ program: XDPProgram) throws {
        self.program = program
        interface = try #require(NetworkInterface(name: Self.interface))
        finder = try WayFinder(.read(attachedTo: [interface.index]), looksUp: true)
        table = RouteTable(
            program, policy: RouteTable.Policy(relayAddresses: [World.relay4], hashSeed: Kernel.seed), finder: finder,
            clock: try LeaseClock.read(program))
    }
}
