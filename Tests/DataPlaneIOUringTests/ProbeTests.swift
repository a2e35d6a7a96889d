import DataPlaneIOUring
import Testing

@Suite struct ProbeTests {
    @Test func theProbeSaysWhatItWillDo() throws {
        let probed = try IOUringPlane().probe()
        #expect(probed.description.hasPrefix("multishot recvmsg, batched sendmsg, "))
        let off = try IOUringPlane(
            options: .init(receiveOffload: false, segmentationOffload: false, deferredWork: false)
        ).probe()
        #expect(off.description == "multishot recvmsg, batched sendmsg, cooperative work, GRO off, GSO off")
        #expect(IOUringPlane().name == "io-uring")
    }
}
