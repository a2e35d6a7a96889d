import DataPlaneSocket
import PlaneKit
import Testing

@Suite struct ProbeTests {
    @Test func theProbeSaysWhatItWillDo() throws {
        let off = try SocketPlane(offloads: .none).probe()
        #expect(off.description == "epoll, recvmmsg/sendmmsg, GRO off, GSO off, raw sending off")
        let probed = try SocketPlane().probe()
        #expect(probed.description.hasPrefix("epoll, recvmmsg/sendmmsg, GRO o"))
        #expect(SocketPlane().name == "socket")
    }
}
