// Unsafe because: `sendmsg` takes headers that point to names, vectors and control messages. All of them are allocated
// here, live as long as this value, and are indexed under a check; payloads are gathered from where they stand in the
// packet memory, which outlives the requests.
import CLinux
import Glibc
import RelayWorker

/// Where a run of datagrams goes and how.
struct Envelope {
    /// 4 or 6.
    let version: UInt8
    /// The address to send from; version 0 where the socket's own will do.
    let source: clinux_address
    /// Which place of the names holds the destination.
    let name: Int
    let trafficClass: UInt8
    let neverFragmentV6: Bool
}

/// The messages of a turn, each a datagram or a run that the kernel cuts (GSO), from when they are made until the kernel
/// has told what became of every one.
@safe struct Transmitter: ~Copyable {
    static let capacity = SendQueue.capacity
    private static let controlByteCount = Int(CLINUX_DEPARTURE_CONTROL_BYTES)

    private let headers: UnsafeMutablePointer<clinux_message>
    private let vectors: UnsafeMutablePointer<iovec>
    private let names: UnsafeMutablePointer<sockaddr_in6>
    private let nameLengths: UnsafeMutablePointer<UInt32>
    private let controls: UnsafeMutableRawPointer
    private let channelHeaders: UnsafeMutablePointer<UInt32>
    private let shapes: UnsafeMutablePointer<Shape>
    private(set) var messageCount = 0
    private var vectorCount = 0

    /// What a message is made of, for counting and for taking it apart again.
    struct Shape: BitwiseCopyable {
        /// The slot that owns the descriptor.
        var owner = 0
        var datagramCount = 0
        var segmentByteCount = 0
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
        unsafe headers.initialize(repeating: clinux_message(), count: Self.capacity)
        unsafe vectors.initialize(repeating: iovec(), count: 2 * Self.capacity)
        unsafe names.initialize(repeating: sockaddr_in6(), count: Self.capacity)
        unsafe nameLengths.initialize(repeating: 0, count: Self.capacity)
        unsafe channelHeaders.initialize(repeating: 0, count: Self.capacity)
        unsafe shapes.initialize(repeating: Shape(), count: Self.capacity)
    }

    deinit {
        unsafe headers.deallocate()
        unsafe vectors.deallocate()
        unsafe names.deallocate()
        unsafe nameLengths.deallocate()
        unsafe controls.deallocate()
        unsafe channelHeaders.deallocate()
        unsafe shapes.deallocate()
    }

    /// Writes the destination that envelopes name by `place`.
    mutating func setName(_ place: Int, to destination: clinux_address) {
        precondition(place >= 0 && place < Self.capacity)
        unsafe nameLengths[place] = clinux_write_name(destination, names + place)
    }

    /// Makes a message of a run, gathering headers and payloads from where they stand.
    /// - Returns: its number.
    mutating func append(
        _ run: Run, of queue: borrowing SendQueue, in memory: borrowing PacketMemory, _ envelope: Envelope, owner: Int
    ) -> Int {
        precondition(messageCount < Self.capacity && envelope.name >= 0 && envelope.name < Self.capacity)
        let number = messageCount
        let firstVector = vectorCount
        var index = run.first
        while index != run.next { index = appendVectors(of: index, in: queue, memory) }
        var control = putControl(envelope)
        unsafe shapes[number] = Shape(
            owner: owner, datagramCount: run.count, segmentByteCount: run.segmentByteCount,
            plainControlByteCount: control)
        if run.count > 1 {
            control = unsafe clinux_put_segment_size(controlPlace(number), control, UInt16(run.segmentByteCount))
        }
        unsafe fill(
            &headers[number].header, name: envelope.name, vectors: vectors + firstVector,
            vectorCount: vectorCount - firstVector, controlByteCount: control)
        messageCount += 1
        return number
    }

    mutating func removeAll() {
        messageCount = 0
        vectorCount = 0
    }

    func shape(of message: Int) -> Shape {
        precondition(message >= 0 && message < messageCount)
        return unsafe shapes[message]
    }

    /// The header of a message, for the kernel.
    @unsafe func header(of message: Int) -> UnsafePointer<msghdr> {
        precondition(message >= 0 && message < messageCount)
        // A message of a batch begins with its header.
        return unsafe UnsafeRawPointer(headers + message).assumingMemoryBound(to: msghdr.self)
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

/// What became of a message that did not simply go, besides what the counters tell.
struct SendOutcome {
    /// The size of the segments that the kernel would not cut; they went one by one.
    var refusedSegmentByteCount: Int?
    /// The device or the kernel cannot cut at all (`EIO`, `ENOPROTOOPT`).
    var cannotSegment = false
    /// A datagram was larger than the path's MTU.
    var wasTooBig = false
}

extension Transmitter {
    /// A signal may interrupt a call; so many in a row are no accident and the datagram is given up.
    private static var interruptionLimit: Int { 8 }

    /// Sends a message by system calls, without waiting: one that the ring could not send, or that needs the socket in
    /// another state.
    /// - Parameter errno: with which the ring failed to send it, or 0 for the first try.
    mutating func transmit(
        _ message: Int, by descriptor: Int32, after errno: Int32, counting counters: inout PlaneCounters
    ) -> SendOutcome {
        var outcome = SendOutcome()
        let shape = shape(of: message)
        // A pending ICMP error fails the next call, whatever that sends, and is gone then: once more.
        let result = unsafe attempt(headers + message, by: descriptor, tries: errno == 0 ? 2 : 1, &counters)
        guard result < 0 else {
            counters.sentDatagrams += UInt64(shape.datagramCount)
            return outcome
        }
        if shape.datagramCount > 1, Self.isSegmentationRefusal(-result) {
            transmitApart(message, -result, by: descriptor, counting: &counters, &outcome)
        } else {
            Self.count(shape.datagramCount, refusedWith: -result, in: &counters, &outcome)
        }
        return outcome
    }

    /// Sends the datagrams of a run one by one: the kernel would not take them as one message.
    private mutating func transmitApart(
        _ message: Int, _ errno: Int32, by descriptor: Int32, counting counters: inout PlaneCounters,
        _ outcome: inout SendOutcome
    ) {
        let shape = shape(of: message)
        let sentBefore = counters.sentDatagrams
        var vector = unsafe headers[message].header.msg_iov
        let end = unsafe headers[message].header.msg_iov + headers[message].header.msg_iovlen
        while let first = unsafe vector, unsafe first < end {
            var single = unsafe headers[message]
            unsafe single.header.msg_iov = first
            unsafe single.header.msg_iovlen = isChannelHeader(first) ? 2 : 1
            unsafe single.header.msg_controllen = shape.plainControlByteCount
            let result = unsafe attempt(&single, by: descriptor, tries: 2, &counters)
            if result < 0 {
                Self.count(1, refusedWith: -result, in: &counters, &outcome)
            } else {
                counters.sentDatagrams += 1
            }
            unsafe vector = first + single.header.msg_iovlen
        }
        // If none went singly either, the destination was refused, and cutting is not to blame.
        guard counters.sentDatagrams > sentBefore else { return }
        counters.segmentationRefused += 1
        if errno == EMSGSIZE || errno == EINVAL {
            outcome.refusedSegmentByteCount = shape.segmentByteCount
        } else {
            outcome.cannotSegment = true
        }
    }

    private func isChannelHeader(_ vector: UnsafeMutablePointer<iovec>) -> Bool {
        guard let base = unsafe UnsafeRawPointer(vector.pointee.iov_base) else { return false }
        let headers = unsafe UnsafeRawPointer(channelHeaders)
        return unsafe base >= headers && base < headers + Self.capacity * MemoryLayout<UInt32>.size
    }

    /// Tries a message so many times, and again after a signal: 1, or the negated `errno`.
    private func attempt(
        _ message: UnsafeMutablePointer<clinux_message>, by descriptor: Int32, tries: Int,
        _ counters: inout PlaneCounters
    ) -> Int32 {
        var result: Int32 = 0
        var triesLeft = tries
        for _ in 0..<Self.interruptionLimit {
            counters.sendCalls += 1
            result = unsafe clinux_send_batch(descriptor, message, 1)
            if result >= 0 || result == -EAGAIN { break }
            if result == -EINTR { continue }
            triesLeft -= 1
            if triesLeft == 0 { break }
        }
        return result
    }

    private static func isSegmentationRefusal(_ errno: Int32) -> Bool {
        switch errno {
        case EIO, EINVAL, EMSGSIZE, ENOPROTOOPT, EOPNOTSUPP: true
        default: false
        }
    }

    static func count(
        _ lost: Int, refusedWith errno: Int32, in counters: inout PlaneCounters, _ outcome: inout SendOutcome
    ) {
        switch errno {
        case EAGAIN, ENOBUFS, ENOMEM: counters.sendQueueFull += UInt64(lost)
        case EMSGSIZE:
            counters.sendTooBig += UInt64(lost)
            outcome.wasTooBig = true
        default: counters.sendRefused += UInt64(lost)
        }
    }
}
