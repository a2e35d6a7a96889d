/// Totals that a plane keeps about its own work; plain integers, written by one thread.
@frozen
public struct PlaneCounters: Sendable, BitwiseCopyable, Equatable {
    /// System calls that received, and datagrams that they brought (segments of a GRO packet count one each).
    public var receiveCalls: UInt64 = 0
    public var receivedDatagrams: UInt64 = 0
    /// System calls that sent, and datagrams that they took (segments of a GSO packet count one each).
    public var sendCalls: UInt64 = 0
    public var sentDatagrams: UInt64 = 0
    /// Datagrams that the kernel had no room for (`EAGAIN`, `ENOBUFS`).
    public var sendQueueFull: UInt64 = 0
    /// Datagrams larger than the path's MTU (`EMSGSIZE`).
    public var sendTooBig: UInt64 = 0
    /// Datagrams that the kernel refused otherwise (unreachable, not permitted).
    public var sendRefused: UInt64 = 0
    /// Datagrams longer than the receive buffer.
    public var receiveTruncated: UInt64 = 0
    /// Datagrams that the kernel dropped because a socket's receive buffer was full (`SO_RXQ_OVFL`).
    public var receiveQueueDrops: UInt64 = 0
    /// Receives that ended because the plane had no buffer ready (`ENOBUFS` of io_uring); they are taken up again.
    public var receiveBufferShortages: UInt64 = 0
    /// GSO sends that the kernel or the device refused and that were sent one by one.
    public var segmentationRefused: UInt64 = 0

    public init() {}

    mutating func add(_ other: PlaneCounters) {
        receiveCalls &+= other.receiveCalls
        receivedDatagrams &+= other.receivedDatagrams
        sendCalls &+= other.sendCalls
        sentDatagrams &+= other.sentDatagrams
        sendQueueFull &+= other.sendQueueFull
        sendTooBig &+= other.sendTooBig
        sendRefused &+= other.sendRefused
        receiveTruncated &+= other.receiveTruncated
        receiveQueueDrops &+= other.receiveQueueDrops
        receiveBufferShortages &+= other.receiveBufferShortages
        segmentationRefused &+= other.segmentationRefused
    }
}
