import CLinux
import PlaneTestKit
import RelayCore
import RelayWorker
import STUN
import Testing

@testable import PlaneKit

/// A datagram that did not fit into its buffer is nobody's.
@Suite struct TruncationTests {
    @Test(arguments: [true, false])
    func whatWasCutOffIsCountedAndNotPresented(_ isTruncated: Bool) throws {
        var base = PlaneBase(.none, try PacketMemory(bufferCount: 2, frontByteCount: 64))
        let source = clinux_address(TransportAddress("192.0.2.1", 5_000))
        let isLive = base.take(
            1, from: source, clinux_arrival(), byteCount: 100, isTruncated: isTruncated, on: 0)
        #expect(isLive == !isTruncated)
        #expect(base.counters.receivedDatagrams == 1)
        #expect(base.counters.receiveTruncated == (isTruncated ? 1 : 0))
        var batch = Batch(fromBuffer: 1)
        batch.append()
        batch.present(in: &base.presentation)
        let count = base.presentation.count
        #expect(count == (isTruncated ? 0 : 1))
        let isEmpty = batch.isEmpty
        #expect(isEmpty)
    }
}
