// Unsafe because: the kernel is given the address of a message. What it consists of is allocated here, and outlives the ring
// that reads it.
import CIOUring
import CLinux
import Glibc
import PlaneKit
public import RelayWorker
import STUN

extension IOUringPlane {
    /// The oldest kernel on which everything works that the plane needs.
    static var oldestKernel: String { "Linux 6.0" }

    /// Tries on throw-away rings and sockets of loopback what the plane needs, and what it was asked to use, each feature
    /// by itself and then all of them: a datagram goes out by the ring and comes in by it.
    /// - Returns: what it will do here.
    public func probe() throws(PlaneError) -> Features {
        let sockets = try ProbeSockets()
        var wanted = offloads
        // Everything that leaves is a request of the ring then.
        if features.contains(.sqpoll) { wanted.rawSending = false }
        let allowed = try wanted.allowedHere()
        let found: Features
        do throws(RingError) {
            let isDeferred = try probeWork(sockets)
            let letsGo = registersFiles ? try probeFiles(sockets, isDeferred: isDeferred) : false
            found = Features(isDeferred: isDeferred, registersFiles: letsGo, offloads: allowed, ring: features)
        } catch {
            throw PlaneError(error)
        }
        try probeFeatures(found, sockets)
        return found
    }

    private func probeFeatures(_ found: Features, _ sockets: borrowing ProbeSockets) throws(PlaneError) {
        for feature in features.each {
            do throws(RingError) {
                try sockets.relayOne(
                    Features(
                        isDeferred: found.isDeferred, registersFiles: found.registersFiles, offloads: found.offloads,
                        ring: feature))
            } catch {
                throw PlaneError(error, of: feature)
            }
        }
        guard features.each.count > 1 else { return }
        do throws(RingError) { try sockets.relayOne(found) } catch { throw PlaneError(error, together: features) }
    }

    /// Whether work can be deferred here.
    private func probeWork(_ sockets: borrowing ProbeSockets) throws(RingError) -> Bool {
        for isDeferred in defersWork ? [true, false] : [false] {
            do throws(RingError) {
                try sockets.relayOne(
                    Features(isDeferred: isDeferred, registersFiles: registersFiles, offloads: .none, ring: []))
                return isDeferred
            } catch {
                // A kernel that does not know the flag; the older way is tried.
                if isDeferred, error.step == .setup, error.errno == EINVAL { continue }
                throw error
            }
        }
        throw RingError(step: .setup, errno: EINVAL)
    }

    /// Whether the ring lets go of a registered socket at once when it is taken out, or a closed relay socket would keep
    /// its port.
    private func probeFiles(_ sockets: borrowing ProbeSockets, isDeferred: Bool) throws(RingError) -> Bool {
        let features = Features(isDeferred: isDeferred, registersFiles: true, offloads: .none, ring: [])
        return try sockets.freesPort(features)
    }
}

/// Two sockets on loopback.
private struct ProbeSockets: ~Copyable {
    private let sender: Int32
    private let receiver: Int32
    private let version: UInt8
    private let loopback: IPAddress

    init() throws(PlaneError) {
        var version: UInt8 = 4
        var sender = clinux_open_udp(4)
        if sender == -EAFNOSUPPORT {
            version = 6
            sender = clinux_open_udp(6)
        }
        let receiver = sender < 0 ? sender : clinux_open_udp(version)
        self.version = version
        loopback = version == 4 ? IPAddress(v4: 0x7F00_0001) : IPAddress(v6High: 0, low: 1)
        self.sender = sender
        self.receiver = receiver
        guard receiver >= 0 else { throw Self.refused("opening a UDP socket", receiver) }
        let bound = clinux_bind(receiver, clinux_address(loopback, port: 0))
        guard bound >= 0 else { throw Self.refused("binding a UDP socket to loopback", bound) }
    }

    deinit {
        if sender >= 0 { _ = clinux_close(sender) }
        if receiver >= 0 { _ = clinux_close(receiver) }
    }

    private static func refused(_ what: String, _ result: Int32) -> PlaneError {
        PlaneError(
            what: what, why: String(systemErrorNumber: -result),
            mend: "Let this process use the network (systemd RestrictAddressFamilies, seccomp)")
    }

    /// Sends a datagram by a ring and receives it by a multishot request of the same ring.
    func relayOne(_ features: IOUringPlane.Features) throws(RingError) {
        let memory: PacketMemory
        do throws(PlaneError) {
            memory = try PacketMemory(bufferCount: Inbox.bufferCount, frontByteCount: BufferHead.byteCount)
        } catch {
            throw RingError(step: .buffers, errno: ENOMEM)
        }
        // Before the ring, which ends first: a polling thread reads the message when it gets there.
        let message = ProbeMessage(to: receiver, payloadIn: memory)
        var ring = try Ring(mode: features.mode)
        if features.ring.contains(.napi) { try ring.pollDevices() }
        try ring.makeFiles(isRegistered: features.registersFiles)
        try ring.registerBuffers()
        ring.giveBuffer(Inbox.bufferCount - 1, of: memory)
        ring.publishBuffers()
        for (index, descriptor) in [sender, receiver].enumerated() {
            let result = ring.setFile(index, to: descriptor)
            guard result == 0 else { throw RingError(step: .files, errno: -result) }
        }
        guard ring.queueReceive(file: 1, group: .relays, Token(.receive)) else {
            throw RingError(step: .receive, errno: EBUSY)
        }
        let send = Token(sending: 0, by: 0, pinning: features.ring.contains(.zeroCopy) ? 0 : nil)
        guard unsafe ring.queueMessage(file: 0, message.header, send) else {
            throw RingError(step: .send, errno: EBUSY)
        }
        try ring.submit()
        try awaitBoth(&ring, send)
    }

    /// Whether the port of a socket is free as soon as it has been taken out and closed, while a request on another socket
    /// that is older goes on.
    func freesPort(_ features: IOUringPlane.Features) throws(RingError) -> Bool {
        var ring = try Ring(mode: features.mode)
        try ring.makeFiles(isRegistered: true)
        guard ring.setFile(0, to: receiver) == 0, ring.queuePoll(file: 0, Token(.readiness)) else { return false }
        try ring.submit()
        let socket = clinux_open_udp(version)
        guard socket >= 0 else { return false }
        guard clinux_bind(socket, clinux_address(loopback, port: 0)) >= 0, ring.setFile(1, to: socket) == 0 else {
            _ = clinux_close(socket)
            return false
        }
        let address = clinux_local_address(socket)
        ring.clearFile(1)
        _ = clinux_close(socket)
        let successor = clinux_open_udp(version)
        guard successor >= 0 else { return false }
        defer { _ = clinux_close(successor) }
        return clinux_bind(successor, address) >= 0
    }

    /// Waits until the datagram has come in and nothing of its send is left.
    private func awaitBoth(_ ring: inout Ring, _ send: Token) throws(RingError) {
        var isReceived = false
        var isSent = false
        // Loopback delivers within the call; the rounds are for a host that is busy.
        for _ in 0..<100 {
            _ = ring.takeCompletions()
            for index in 0..<ring.takenCount {
                let completion = ring.completion(index)
                let step = completion.token == send ? RingError.Step.send : .receive
                // There is one buffer: the receive ends when it looks for another one.
                let isExpected = completion.isNotification || (step == .receive && isReceived)
                guard completion.result >= 0 || isExpected else {
                    throw RingError(step: step, errno: -completion.result)
                }
                if step == .receive, completion.buffer != nil { isReceived = true }
                if step == .send, !completion.hasMore { isSent = true }
            }
            if isReceived, isSent { return }
            try ring.wait(nanoseconds: 10_000_000)
        }
        throw RingError(step: isSent ? .receive : .send, errno: ETIMEDOUT)
    }
}

/// A datagram to a socket, where the kernel finds it for as long as this lives.
@safe private struct ProbeMessage: ~Copyable {
    /// Fits into a frame.
    private static let payloadByteCount = 1_200

    private let name = UnsafeMutablePointer<sockaddr_in6>.allocate(capacity: 1)
    private let vector = UnsafeMutablePointer<iovec>.allocate(capacity: 1)
    private let message = UnsafeMutablePointer<msghdr>.allocate(capacity: 1)

    /// - Parameter memory: the payload is the beginning of its first buffer; it must live longer than this value.
    init(to receiver: Int32, payloadIn memory: borrowing PacketMemory) {
        unsafe name.initialize(to: sockaddr_in6())
        unsafe vector.initialize(
            to: iovec(
                iov_base: memory.address(of: 0, byteCount: Self.payloadByteCount), iov_len: Self.payloadByteCount))
        unsafe message.initialize(to: msghdr())
        unsafe message.pointee.msg_namelen = clinux_write_name(clinux_local_address(receiver), name)
        unsafe message.pointee.msg_name = UnsafeMutableRawPointer(name)
        unsafe message.pointee.msg_iov = vector
        unsafe message.pointee.msg_iovlen = 1
    }

    deinit {
        unsafe message.deallocate()
        unsafe vector.deallocate()
        unsafe name.deallocate()
    }

    /// The `struct msghdr`.
    @unsafe var header: UnsafeRawPointer { unsafe UnsafeRawPointer(message) }
}
