import PlaneKit
public import RelayCore
public import RelayWorker
public import STUN

extension SocketIO {
    @inline(__always)
    public func anticipate(_ hop: Hop) { base.sockets.prefetch(Int(hop.egress.index)) }

    public mutating func forward(_ index: Int, _ hop: Hop) {
        if base.isFull { submit() }
        base.forward(index, hop)
    }

    public mutating func send(
        _ payload: RawSpan, from slot: SocketSlot, to destination: TransportAddress, dontFragment: Bool
    ) {
        if !base.hasRoom(for: payload.byteCount) { submit() }
        base.send(payload, from: slot, to: destination, dontFragment: dontFragment)
    }

    public mutating func flush() throws(PlaneError) { submit() }

    /// Hands the queue to the kernel: what a raw socket can take first, then one call a descriptor, a message for each
    /// run.
    mutating func submit() {
        guard !base.isFlushed else { return }
        base.submitRaw()
        for outlet in 0..<base.outletCount {
            base.transmit(base.stage(outlet: outlet), by: base.owner(ofOutlet: outlet))
        }
        base.finishSending()
    }
}
