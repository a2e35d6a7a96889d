// Unsafe because: `sendmmsg` takes arrays of headers that point to names, vectors and control messages. All of them are
// allocated here, live as long as this value, and are indexed under a check; payloads are gathered from where they
// stand in the packet memory, which outlives the call.
import CLinux
import Glibc
import RelayWorker

/// Where a run of datagrams goes and how.
struct Envelope {
    /// 4 or 6.
    let version: UInt8
    /// The address to send from; version 0 where the socket's own will do.
    let source: clinux_address
    /// Which place of the names holds the destination: the number of the flow.
    let name: Int
    let trafficClass: UInt8
    let neverFragmentV6: Bool
}

/// Messages that are ready to be sent, each a datagram or a run that the kernel cuts (GSO), until all of them have left.
@safe struct Transmitter: ~Copyable {
    private static let capacity = SendQueue.capacity
    private static let controlByteCount = Int(CLINUX_DEPARTURE_CONTROL_BYTES)
    /// A signal may interrupt a call; so many in a row are no accident and the message is given up.
    private static let interruptionLimit = 8
    private static let pageByteCount = 4_096
    /// MAX_SKB_FRAGS where it was not configured otherwise.
    private static let fragmentLimit = 17

    private let headers: UnsafeMutablePointer<clinux_message>
    private let vectors: UnsafeMutablePointer<iovec>
    private let names: UnsafeMutablePointer<sockaddr_in6>
    private let nameLengths: UnsafeMutablePointer<UInt32>
    private let controls: UnsafeMutableRawPointer
    private let channelHeaders: UnsafeMutablePointer<UInt32>
    private let shapes: UnsafeMutablePointer<Shape>
    private let singles: UnsafeMutablePointer<clinux_message>
    private(set) var messageCount = 0
    private var vectorCount = 0

    /// What a message is made of, for counting and for taking it apart again.
    struct Shape: BitwiseCopyable {
        var datagramCount = 0
        var segmentByteCount = 0
        /// The flow that it is of.
        var flow = 0
        /// The kernel would not cut datagrams of this size; they went one by one.
        var wasSegmentRefused = false
        /// Bytes of control messages without the segment size, which stands last.
        fileprivate var plainControlByteCount = 0
    }

    init() {
        unsafe headers = .allocate(capacity: Self.capacity)
        unsafe vectors = .allocate(capacity: 2 * Self.capacity)
        unsafe names = .allocate(capacity: Self.capacity)
        unsafe nameLengths = .allocate(capacity: Self.capacity)
        unsafe controls = .allocate(byteCount: Self.capacity * Self.controlByteCount, alignment: 16)
        unsafe channelHeaders = .allocate(capacity: Self.capacity)
        unsafe shapes = .allocate(capacity: Self.capacity)
        unsafe singles = .allocate(capacity: Self.capacity)
        unsafe headers.initialize(repeating: clinux_message(), count: Self.capacity)
        unsafe vectors.initialize(repeating: iovec(), count: 2 * Self.capacity)
        unsafe names.initialize(repeating: sockaddr_in6(), count: Self.capacity)
        unsafe nameLengths.initialize(repeating: 0, count: Self.capacity)
        unsafe channelHeaders.initialize(repeating: 0, count: Self.capacity)
        unsafe shapes.initialize(repeating: Shape(), count: Self.capacity)
        unsafe singles.initialize(repeating: clinux_message(), count: Self.capacity)
    }

    deinit {
        unsafe headers.deallocate()
        unsafe vectors.deallocate()
        unsafe names.deallocate()
        unsafe nameLengths.deallocate()
        unsafe controls.deallocate()
        unsafe channelHeaders.deallocate()
        unsafe shapes.deallocate()
        unsafe singles.deallocate()
    }

    /// Writes the destination that envelopes name by `place`.
    mutating func setName(_ place: Int, to destination: clinux_address) {
        precondition(place >= 0 && place < Self.capacity)
        unsafe nameLengths[place] = clinux_write_name(destination, names + place)
    }

    /// Makes a message of a run, gathering headers and payloads from where they stand.
    mutating func append(
        _ run: Run, of queue: borrowing SendQueue, in memory: borrowing PacketMemory, _ envelope: Envelope
    ) {
        precondition(messageCount < Self.capacity && envelope.name >= 0 && envelope.name < Self.capacity)
        let firstVector = vectorCount
        var index = run.first
        while index != run.next { index = appendVectors(of: index, in: queue, memory) }
        var control = putControl(envelope)
        unsafe shapes[messageCount] = Shape(
            datagramCount: run.count, segmentByteCount: run.segmentByteCount, flow: envelope.name,
            plainControlByteCount: control)
        if run.count > 1 {
            control = unsafe clinux_put_segment_size(
                controlPlace(messageCount), control, UInt16(run.segmentByteCount))
        }
        unsafe fill(
            &headers[messageCount].header, name: envelope.name, vectors: vectors + firstVector,
            vectorCount: vectorCount - firstVector, controlByteCount: control)
        messageCount += 1
    }

    mutating func removeAll() {
        messageCount = 0
        vectorCount = 0
    }

    func shape(of message: Int) -> Shape {
        precondition(message >= 0 && message < messageCount)
        return unsafe shapes[message]
    }

    /// The `struct msghdr` of a message, for the kernel.
    @unsafe func header(of message: Int) -> UnsafeRawPointer {
        precondition(message >= 0 && message < messageCount)
        // A message of a batch begins with its header.
        return unsafe UnsafeRawPointer(headers + message)
    }

    /// The receive buffer in which all payload of a message stands, if the kernel can send it from there: pages that it
    /// refers to are parts of one packet, of which a packet has a limit.
    /// - Parameter byteCountMinimum: a smaller message has none.
    func soleBuffer(
        of message: Int, byteCountMinimum: Int, in memory: borrowing PacketMemory
    ) -> Int? {
        let shape = shape(of: message)
        // No more than this, as the last datagram may be shorter.
        guard shape.datagramCount * shape.segmentByteCount >= byteCountMinimum else { return nil }
        var byteCount = 0
        var fragmentCount = 0
        var sole: Int?
        for index in 0..<Int(unsafe headers[message].header.msg_iovlen) {
            let vector = unsafe headers[message].header.msg_iov[index]
            guard let start = unsafe UnsafeRawPointer(vector.iov_base), unsafe vector.iov_len > 0,
                let buffer = unsafe memory.buffer(of: start, byteCount: vector.iov_len), buffer == sole ?? buffer
            else { return nil }
            sole = buffer
            byteCount += unsafe vector.iov_len
            let offset = Int(bitPattern: start) % Self.pageByteCount
            fragmentCount += unsafe (offset + vector.iov_len + Self.pageByteCount - 1) / Self.pageByteCount
        }
        return byteCount >= byteCountMinimum && fragmentCount <= Self.fragmentLimit ? sole : nil
    }

    private mutating func appendVectors(
        of index: Int, in queue: borrowing SendQueue, _ memory: borrowing PacketMemory
    ) -> Int {
        let datagram = queue.datagram(index)
        if datagram.channel != 0 {
            let header = UInt32(datagram.channel) << 16 | UInt32(datagram.payloadByteCount)
            unsafe channelHeaders[index] = header.bigEndian
            unsafe vectors[vectorCount] = iovec(iov_base: UnsafeMutableRawPointer(channelHeaders + index), iov_len: 4)
            vectorCount += 1
        }
        unsafe vectors[vectorCount] = iovec(
            iov_base: memory.address(of: datagram.offset, byteCount: datagram.payloadByteCount),
            iov_len: datagram.payloadByteCount)
        vectorCount += 1
        return datagram.next
    }

    private func controlPlace(_ message: Int) -> UnsafeMutableRawPointer {
        unsafe controls + message * Self.controlByteCount
    }

    /// Writes the control messages that every datagram of the next message has: the bytes that they take.
    private func putControl(_ envelope: Envelope) -> Int {
        let place = unsafe controlPlace(messageCount)
        var used = 0
        if envelope.source.version != 0 { used = unsafe clinux_put_source(place, used, envelope.source) }
        if envelope.trafficClass != 0 {
            used = unsafe clinux_put_traffic_class(place, used, envelope.version, envelope.trafficClass)
        }
        if envelope.neverFragmentV6 { used = unsafe clinux_put_dont_fragment_v6(place, used) }
        return used
    }

    private func fill(
        _ header: inout msghdr, name: Int, vectors: UnsafeMutablePointer<iovec>, vectorCount: Int,
        controlByteCount: Int
    ) {
        unsafe header.msg_name = UnsafeMutableRawPointer(names + name)
        unsafe header.msg_namelen = nameLengths[name]
        unsafe header.msg_iov = vectors
        unsafe header.msg_iovlen = vectorCount
        unsafe header.msg_control = controlByteCount == 0 ? nil : controlPlace(messageCount)
        unsafe header.msg_controllen = controlByteCount
    }
}

/// What became of messages, besides what the counters tell.
struct SendOutcome {
    /// The kernel would not cut segments of some message's size.
    var wasSegmentRefused = false
    /// The socket, its device or the kernel cannot cut at all (`EIO`, `ENOPROTOOPT`).
    var cannotSegment = false
    /// A datagram was larger than the path's MTU.
    var wasTooBig = false
    /// A call failed, perhaps by an ICMP error that had come for the socket.
    var metError = false
}

extension Transmitter {
    /// Sends messages by `descriptor`, in order, without waiting. Each is tried at most twice; what the kernel then
    /// refuses is dropped and counted.
    /// - Parameter errno: with which the first of them has failed already, or 0.
    mutating func transmit(
        _ messages: Range<Int>, by descriptor: Int32, after errno: Int32 = 0, counting counters: inout PlaneCounters
    ) -> SendOutcome {
        precondition(messages.lowerBound >= 0 && messages.upperBound <= messageCount)
        var outcome = SendOutcome()
        unsafe transmit(
            headers + messages.lowerBound, count: messages.count, shapedBy: shapes + messages.lowerBound,
            by: descriptor, failures: errno == 0 ? 0 : 1, counting: &counters, &outcome)
        return outcome
    }

    /// - Parameter shapes: nil where every message is one datagram.
    private func transmit(
        _ messages: UnsafeMutablePointer<clinux_message>, count: Int, shapedBy shapes: UnsafeMutablePointer<Shape>?,
        by descriptor: Int32, failures firstFailures: Int, counting counters: inout PlaneCounters,
        _ outcome: inout SendOutcome
    ) {
        var done = 0
        var failures = firstFailures
        while done < count {
            counters.sendCalls += 1
            let result = Int(unsafe clinux_send_batch(descriptor, messages + done, UInt32(count - done)))
            if result > 0 {
                counters.sentDatagrams += unsafe Self.datagramCount(done..<done + result, shapes)
                done += result
                failures = 0
                continue
            }
            failures += 1
            let errno = Int32(-result)
            if errno == EAGAIN {
                counters.sendQueueFull += unsafe Self.datagramCount(done..<count, shapes)
                return
            }
            outcome.metError = true
            // A pending ICMP error fails the next call, whatever that sends, and is gone then: once more.
            if failures == 1 || (errno == EINTR && failures < Self.interruptionLimit) { continue }
            if let shapes = unsafe shapes, unsafe shapes[done].datagramCount > 1, Self.isSegmentationRefusal(errno) {
                unsafe transmitApart(
                    messages + done, &shapes[done], errno, by: descriptor, counting: &counters, &outcome)
            } else {
                let lost = unsafe Self.datagramCount(done..<done + 1, shapes)
                Self.count(lost, refusedWith: errno, in: &counters, &outcome)
            }
            done += 1
            failures = 0
        }
    }

    /// Sends the datagrams of a run one by one: the kernel would not take them as one message.
    private func transmitApart(
        _ message: UnsafeMutablePointer<clinux_message>, _ shape: inout Shape, _ errno: Int32, by descriptor: Int32,
        counting counters: inout PlaneCounters, _ outcome: inout SendOutcome
    ) {
        var vector = unsafe message.pointee.header.msg_iov
        for index in 0..<shape.datagramCount {
            let vectorCount = unsafe isChannelHeader(vector) ? 2 : 1
            unsafe singles[index].header = message.pointee.header
            unsafe singles[index].header.msg_iov = vector
            unsafe singles[index].header.msg_iovlen = vectorCount
            unsafe singles[index].header.msg_controllen = shape.plainControlByteCount
            unsafe vector = vector.map { unsafe $0 + vectorCount }
        }
        let sentBefore = counters.sentDatagrams
        unsafe transmit(
            singles, count: shape.datagramCount, shapedBy: nil, by: descriptor, failures: 0, counting: &counters,
            &outcome)
        // If none went singly either, the destination was refused, and cutting is not to blame.
        guard counters.sentDatagrams > sentBefore else { return }
        counters.segmentationRefused += 1
        if errno == EMSGSIZE || errno == EINVAL {
            shape.wasSegmentRefused = true
            outcome.wasSegmentRefused = true
        } else {
            outcome.cannotSegment = true
        }
    }

    private func isChannelHeader(_ vector: UnsafeMutablePointer<iovec>?) -> Bool {
        guard let base = unsafe UnsafeRawPointer(vector?.pointee.iov_base) else { return false }
        let headers = unsafe UnsafeRawPointer(channelHeaders)
        return unsafe base >= headers && base < headers + Self.capacity * MemoryLayout<UInt32>.size
    }

    private static func datagramCount(_ range: Range<Int>, _ shapes: UnsafeMutablePointer<Shape>?) -> UInt64 {
        guard let shapes = unsafe shapes else { return UInt64(range.count) }
        var total = 0
        for index in range { unsafe total += shapes[index].datagramCount }
        return UInt64(total)
    }

    private static func isSegmentationRefusal(_ errno: Int32) -> Bool {
        switch errno {
        case EIO, EINVAL, EMSGSIZE, ENOPROTOOPT, EOPNOTSUPP: true
        default: false
        }
    }

    private static func count(
        _ lost: UInt64, refusedWith errno: Int32, in counters: inout PlaneCounters, _ outcome: inout SendOutcome
    ) {
        switch errno {
        case ENOBUFS, ENOMEM: counters.sendQueueFull += lost
        case EMSGSIZE:
            counters.sendTooBig += lost
            outcome.wasTooBig = true
        default: counters.sendRefused += lost
        }
    }
}
