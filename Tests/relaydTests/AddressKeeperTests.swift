import Logging
import RelayCore
import RelayWorker
import STUN
import Synchronization
import Testing

@testable import relayd

@Suite("What a relay serves, and how that changes")
struct ServedAddressesTests {
    private func served(_ listeners: String...) throws -> ServedAddresses {
        ServedAddresses(
            listeners: try listeners.map { try #require(TransportAddress($0)) },
            relayAddresses: [RelayAddress(address: try ip("192.0.2.1"))])
    }

    private func ip(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }

    @Test(
        "Listeners that would take each other's datagrams",
        arguments: [
            ("192.0.2.1:3478", "0.0.0.0:3478", true), ("0.0.0.0:3478", "192.0.2.1:3478", true),
            ("[::]:3478", "[2001:db8::1]:3478", true), ("0.0.0.0:3478", "[2001:db8::1]:3478", false),
            ("192.0.2.1:3478", "0.0.0.0:3479", false), ("192.0.2.1:3478", "192.0.2.2:3478", false),
            ("0.0.0.0:3478", "0.0.0.0:3478", false),
        ])
    func rivals(open: String, added: String, areRivals: Bool) throws {
        let added = try #require(TransportAddress(added))
        var served = try served(open)
        #expect((served.rival(of: added)?.description == open) == areRivals)
        // One that leaves still has its clients.
        served.change(to: [], served.relayAddresses)
        #expect((served.rival(of: added)?.description == open) == areRivals)
    }

    @Test("What is not named any more leaves, what is named again is back, what leaves needs no socket")
    func changes() throws {
        var served = try served("192.0.2.1:3478", "192.0.2.1:3479")
        let all = served.listeners
        let other = RelayAddress(address: try ip("192.0.2.2"))
        served.change(to: [all[0]], [other])
        #expect(served.leavingListeners == [all[1]: 0] && served.isChanging)
        #expect(served.leavingRelayAddresses.map(\.address) == [try ip("192.0.2.1")])
        let new = try #require(TransportAddress("192.0.2.1:3480"))
        #expect(served.missing(all + [new]) == [new])
        served.change(to: all, [RelayAddress(address: try ip("192.0.2.1"), external: try ip("198.51.100.1")), other])
        #expect(!served.isChanging && served.listeners == all)
    }
}

@Suite("The host's own addresses, followed")
struct HostFollowingTests {
    private struct Host: Sendable {
        var addresses: [IPAddress]
        var failure: PlaneError?
    }

    @Test("New ones are closed to peers, and a host that does not tell keeps those that it told before")
    func following() async throws {
        let settings = try Reading(.credentials + ["--relay-address", "192.0.2.1"]).settings
        let (first, second) = (try #require(IPAddress("192.0.2.1")), try #require(IPAddress("192.0.2.2")))
        let configuration = try settings.coreConfiguration(host: [first], routed: [])
        let link = try WorkerLink()
        let served = ServedAddresses(listeners: settings.listen, relayAddresses: configuration.relayAddresses)
        let box = Box(Mutex(Host(addresses: [first])))
        let keeper = AddressKeeper(
            configuration, settings, [link], SystemSockets(),
            RelayLedger(relayAddresses: configuration.relayAddresses), PlaneCatalogue(settings, served),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        ) { () throws(PlaneError) in try box.read() }
        #expect(keeper.configuration.ownAddresses == [first])
        keeper.followHost()
        #expect(link.isAnswered, "nothing has changed")

        box.host.withLock { $0.addresses = [first, second] }
        keeper.followHost()
        #expect(keeper.configuration.ownAddresses == [first, second] && !link.isAnswered)
        box.host.withLock { $0 = Host(addresses: [], failure: PlaneError(what: "a", why: "b", mend: "c")) }
        keeper.followHost()
        #expect(keeper.configuration.ownAddresses == [first, second])
        try await keeper.apply(settings)
        #expect(keeper.configuration.ownAddresses == [first, second])
        box.host.withLock { $0 = Host(addresses: [second]) }
        try await keeper.apply(settings)
        #expect(keeper.configuration.ownAddresses == [second])
    }

    private final class Box: Sendable {
        let host: Mutex<Host>

        init(_ host: consuming Mutex<Host>) { self.host = host }

        func read() throws(PlaneError) -> [IPAddress] {
            let now = host.withLock { $0 }
            if let failure = now.failure { throw failure }
            return now.addresses
        }
    }

    @Test("A family without a default route keeps its address while the host has it")
    func routes() throws {
        let unrouted = try #require(IPAddress("192.0.2.200"))
        let found = HostAddresses.ofDefaultRoutes()
        let kept = HostAddresses.ofDefaultRoutes(keeping: [unrouted], of: [unrouted])
        #expect(kept == (found.contains { $0.family == .ipv4 } ? found : [unrouted] + found))
        #expect(HostAddresses.ofDefaultRoutes(keeping: [unrouted], of: []) == found)
    }
}
