import CLinux
import RelayWorker
import STUN

extension PlaneBase {
    /// Larger ones may have to be fragmented, which a raw socket refuses to do.
    private static var rawByteLimit: Int { 1_452 }
    /// One call for one datagram saves nothing.
    private static var rawBatchMinimum: Int { 2 }
    /// Refusals after which the rest of a batch is left to the relay sockets.
    private static var rawRefusalLimit: Int { 4 }

    /// Sends what relay sockets have a single datagram of, all by one call an address; the rest stays in the queue.
    ///
    /// A raw socket is only a shorter way into the same kernel: whatever it refuses, the relay socket itself is asked
    /// to send, and its answer counts.
    public mutating func submitRaw() {
        for index in 0..<addresses.count where addresses[index].rawDescriptor >= 0 {
            gatherRaw(from: index)
            if rawTransmitter.count >= Self.rawBatchMinimum { transmitRaw(by: addresses[index].rawDescriptor) }
            rawTransmitter.removeAll()
        }
    }

    private mutating func gatherRaw(from index: Int) {
        let address = addresses[index]
        for number in 0..<queue.flowCount {
            let flow = queue.flow(number)
            let state = sockets[flow.egress]
            guard Int(state.addressIndex) == index else { continue }
            let datagram = queue.datagram(flow.first)
            guard datagram.next < 0, !datagram.dontFragment, datagram.byteCount <= Self.rawByteLimit,
                datagram.channel == 0
            else { continue }
            let frame = RawFrame(
                source: TransportAddress(address.ip, port: state.port), destination: flow.destination,
                trafficClass: datagram.trafficClass, hopLimit: address.hopLimit,
                identification: identifications.next(to: flow.destination.ip))
            rawFlows[rawTransmitter.count] = number
            rawTransmitter.append(
                frame, payloadAt: datagram.offset, byteCount: datagram.payloadByteCount, in: memory)
        }
    }

    private mutating func transmitRaw(by descriptor: Int32) {
        var done = 0
        var refusals = 0
        while done < rawTransmitter.count, refusals < Self.rawRefusalLimit {
            counters.sendCalls += 1
            let sent = rawTransmitter.transmit(from: done, by: descriptor)
            counters.sentDatagrams += UInt64(sent)
            for index in done..<done + sent { queue.markSent(flow: rawFlows[index]) }
            // The one that was refused stays in the queue.
            done += sent + 1
            refusals += 1
        }
    }
}
