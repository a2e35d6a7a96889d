import CLinux
import PlaneTestKit
import RelayWorker
import STUN
import Testing

@Suite struct SystemSocketsTests {
    let system = SystemSockets()

    @Test(arguments: AddressFamily.allCases)
    func listenersShareTheirAddress(_ family: AddressFamily) throws {
        let first = try system.openListener(at: TransportAddress(family.loopback, 0))
        defer { system.close(first) }
        let second = try system.openListener(at: TransportAddress(of: first))
        defer { system.close(second) }
        #expect(TransportAddress(of: first) == TransportAddress(of: second))
    }

    @Test(arguments: AddressFamily.allCases)
    func aTakenListenerIsNoticed(_ family: AddressFamily) throws {
        let first = try system.openListener(at: TransportAddress(family.loopback, 0))
        let address = TransportAddress(of: first)
        let error = #expect(throws: SocketError.self) { try system.checkListenerIsFree(at: address) }
        #expect(error?.kind == .addressInUse)
        #expect(error?.description.contains("\(address)") == true)
        system.close(first)
        try system.checkListenerIsFree(at: address)
    }

    @Test(arguments: AddressFamily.allCases)
    func aRelayedAddressIsExclusive(_ family: AddressFamily) throws {
        let first = try system.openRelay(at: TransportAddress(family.loopback, 0))
        defer { system.close(first) }
        let address = TransportAddress(of: first)
        #expect(throws: SocketError(kind: .addressInUse, subject: "UDP \(address)")) {
            try system.openRelay(at: address)
        }
        #expect(throws: SocketError(kind: .addressInUse, subject: "UDP \(address)")) {
            try system.openListener(at: address)
        }
    }

    @Test(arguments: ["192.0.2.1", "2001:db8::1"])
    func aForeignAddressIsNamed(_ ip: String) {
        let error = #expect(throws: SocketError.self) { try system.openRelay(at: TransportAddress(ip, 0)) }
        #expect(error?.kind == .addressNotAvailable)
        #expect(error?.description.contains(ip) == true)
        #expect(error?.description.contains("no interface") == true)
    }

    @Test func wildcardsOfBothFamiliesStandSideBySide() throws {
        let v6 = try system.openListener(at: TransportAddress("::", 0))
        defer { system.close(v6) }
        let v4 = try system.openListener(at: TransportAddress("0.0.0.0", TransportAddress(of: v6).port))
        system.close(v4)
    }

    @Test func buffersAreSizedAndReported() throws {
        let sized = SystemSockets(receiveBufferBytes: 100_000, sendBufferBytes: 60_000)
        let descriptor = try sized.openRelay(at: TransportAddress("127.0.0.1", 0))
        defer { sized.close(descriptor) }
        let granted = SystemSockets.grantedBufferBytes(of: descriptor)
        #expect(granted.receive == 100_000)
        #expect(granted.send == 60_000)
    }

    @Test func theDescriptorLimitIsRaised() throws {
        let limit = try SystemSockets.raiseDescriptorLimit()
        #expect(try SystemSockets.raiseDescriptorLimit() == limit)
        #expect(limit >= 256)
    }

    @Test func theWakeDescriptorIsReadableUntilDrained() throws {
        let descriptor = try WakeDescriptor.open()
        defer { WakeDescriptor.close(descriptor) }
        WakeDescriptor.signal(descriptor)
        WakeDescriptor.signal(descriptor)
        WakeDescriptor.drain(descriptor)
        var set = epoll_event()
        let epoll = clinux_epoll_create()
        defer { _ = clinux_close(epoll) }
        #expect(clinux_epoll_add(epoll, descriptor, 7) == 0)
        #expect(clinux_epoll_wait(epoll, &set, 1, 0, true) == 0)
        WakeDescriptor.signal(descriptor)
        #expect(clinux_epoll_wait(epoll, &set, 1, 0, true) == 1)
        #expect(clinux_event_at(&set, 0).token == 7)
    }
}
