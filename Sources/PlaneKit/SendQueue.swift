import RelayCore
import STUN

/// One datagram that waits to be sent.
struct QueuedDatagram: BitwiseCopyable {
    /// Where the payload stands, from the beginning of the packet memory.
    var offset = 0
    var payloadByteCount = 0
    /// The channel whose header goes in front and does not stand there yet, or 0.
    var channel: UInt16 = 0
    var trafficClass: UInt8 = 0
    var dontFragment = false
    /// The next datagram of the same flow, or -1.
    fileprivate(set) var next = -1

    /// Bytes of UDP payload on the wire.
    var byteCount: Int { payloadByteCount + (channel == 0 ? 0 : 4) }

    /// Whether the kernel may cut both out of one message: everything but the size is equal.
    func isAlike(_ other: QueuedDatagram) -> Bool {
        trafficClass == other.trafficClass && !other.dontFragment
    }
}

/// Everything from one slot to one destination, in order.
struct Flow: BitwiseCopyable {
    var egress = 0
    var destination = TransportAddress(IPAddress(v4: 0), port: 0)
    fileprivate(set) var first = -1
    fileprivate var last = -1
    /// Nothing of it is left to send.
    fileprivate(set) var isSent = false
    /// The next flow of the same socket, or -1.
    fileprivate(set) var next = -1
}

/// Everything that one system call can take: the flows that leave by one descriptor.
struct Outlet: BitwiseCopyable {
    /// The slot that owns the descriptor.
    var owner = 0
    fileprivate(set) var firstFlow = -1
    fileprivate var lastFlow = -1
}

/// Datagrams of one flow that can go as one message: equal sizes, the last may be shorter.
struct Run: BitwiseCopyable {
    let first: Int
    var count: Int
    let segmentByteCount: Int
    /// The datagram of the flow that comes after the run, or -1.
    var next: Int
}

/// The datagrams of a turn, sorted by the socket that they leave from and by destination. Order within a flow is kept.
struct SendQueue: ~Copyable {
    static let capacity = 128
    /// What the kernel accepts in one message on every version that knows `UDP_SEGMENT`.
    private static let runCountLimit = 64
    private static let runByteLimit = 65_000

    private var datagrams = FixedBuffer(repeating: QueuedDatagram(), count: SendQueue.capacity)
    private var flows = FixedBuffer(repeating: Flow(), count: SendQueue.capacity)
    private var outlets = FixedBuffer(repeating: Outlet(), count: SendQueue.capacity)
    private var flowIndex = ProbeIndex()
    private var outletIndex = ProbeIndex()
    private(set) var count = 0
    private(set) var flowCount = 0
    private(set) var outletCount = 0
    private var latestFlow = -1

    var isEmpty: Bool { count == 0 }
    var isFull: Bool { count == Self.capacity }

    /// Queues a datagram; there must be room.
    /// - Parameters:
    ///   - egress: the slot that it leaves from.
    ///   - owner: the slot that owns the descriptor.
    mutating func append(_ datagram: QueuedDatagram, from egress: Int, owner: Int, to destination: TransportAddress) {
        let flow = self.flow(from: egress, owner: owner, to: destination)
        datagrams[count] = datagram
        datagrams[count].next = -1
        if flows[flow].last >= 0 {
            datagrams[flows[flow].last].next = count
        } else {
            flows[flow].first = count
        }
        flows[flow].last = count
        count += 1
    }

    mutating func removeAll() {
        for index in 0..<flowCount {
            flowIndex.remove(Self.hash(flows[index].egress, flows[index].destination), in: index)
        }
        for index in 0..<outletCount { outletIndex.remove(Self.hash(outlets[index].owner), in: index) }
        count = 0
        flowCount = 0
        outletCount = 0
        latestFlow = -1
    }

    func outlet(_ index: Int) -> Outlet { outlets[index] }
    func flow(_ index: Int) -> Flow { flows[index] }
    mutating func markSent(flow index: Int) { flows[index].isSent = true }
    func datagram(_ index: Int) -> QueuedDatagram { datagrams[index] }

    /// The longest run that begins with datagram `first`.
    /// - Parameter segmentLimit: datagrams that are larger stay alone; 0 leaves all of them alone.
    func run(from first: Int, segmentLimit: Int) -> Run {
        let head = datagrams[first]
        let size = head.byteCount
        var run = Run(first: first, count: 1, segmentByteCount: size, next: head.next)
        guard size > 0, size <= segmentLimit, !head.dontFragment else { return run }
        var total = size
        while run.next >= 0, run.count < Self.runCountLimit {
            let candidate = datagrams[run.next]
            let candidateSize = candidate.byteCount
            guard candidateSize > 0, candidateSize <= size, total + candidateSize <= Self.runByteLimit,
                head.isAlike(candidate)
            else { break }
            total += candidateSize
            run.count += 1
            run.next = candidate.next
            if candidateSize < size { break }
        }
        return run
    }

    private mutating func flow(from egress: Int, owner: Int, to destination: TransportAddress) -> Int {
        if latestFlow >= 0, flows[latestFlow].egress == egress, flows[latestFlow].destination == destination {
            return latestFlow
        }
        var place = flowIndex.start(Self.hash(egress, destination))
        while let index = flowIndex[place] {
            if flows[index].egress == egress, flows[index].destination == destination {
                latestFlow = index
                return index
            }
            place = flowIndex.after(place)
        }
        flowIndex.insert(flowCount, at: place)
        flows[flowCount] = Flow(egress: egress, destination: destination)
        append(flow: flowCount, toOutletOf: owner)
        latestFlow = flowCount
        flowCount += 1
        return latestFlow
    }

    private mutating func append(flow: Int, toOutletOf owner: Int) {
        let outlet = self.outlet(of: owner)
        if outlets[outlet].lastFlow >= 0 {
            flows[outlets[outlet].lastFlow].next = flow
        } else {
            outlets[outlet].firstFlow = flow
        }
        outlets[outlet].lastFlow = flow
    }

    private mutating func outlet(of owner: Int) -> Int {
        var place = outletIndex.start(Self.hash(owner))
        while let index = outletIndex[place] {
            if outlets[index].owner == owner { return index }
            place = outletIndex.after(place)
        }
        outletIndex.insert(outletCount, at: place)
        outlets[outletCount] = Outlet(owner: owner)
        outletCount += 1
        return outletCount - 1
    }

    private static func hash(_ egress: Int, _ destination: TransportAddress) -> UInt64 {
        let address = destination.ip.high ^ destination.ip.low &+ UInt64(destination.port) << 48
        return (address &+ UInt64(egress) << 32) &* 0x9E37_79B9_7F4A_7C15
    }

    private static func hash(_ owner: Int) -> UInt64 { UInt64(owner) &* 0x9E37_79B9_7F4A_7C15 }
}
