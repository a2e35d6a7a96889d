import CIOUring
import CLinux
import Glibc
import PlaneKit
public import RelayWorker
import STUN

extension IOUringPlane {
    /// The oldest kernel on which everything works that the plane needs.
    static var oldestKernel: String { "Linux 6.0" }

    /// Tries on a throw-away ring and sockets of loopback what the plane needs: a datagram goes out by it and comes in
    /// by it.
    /// - Returns: what it will do here.
    public func probe() throws(PlaneError) -> Features {
        let sockets = try ProbeSockets()
        let allowed = try offloads.allowedHere()
        do throws(RingError) {
            for isDeferred in defersWork ? [true, false] : [false] {
                do throws(RingError) {
                    try sockets.relayOne(isDeferred ? CIOURING_DEFER : CIOURING_COOPERATE)
                } catch {
                    // A kernel that does not know the flag; the older way is tried.
                    if isDeferred, error.step == .setup, error.errno == EINVAL { continue }
                    throw error
                }
                return Features(isDeferred: isDeferred, offloads: allowed)
            }
            throw RingError(step: .setup, errno: EINVAL)
        } catch {
            throw PlaneError(error)
        }
    }
}

/// Two sockets on loopback.
private struct ProbeSockets: ~Copyable {
    private let sender: Int32
    private let receiver: Int32
    private let version: UInt8

    init() throws(PlaneError) {
        var version: UInt8 = 4
        var sender = clinux_open_udp(4)
        if sender == -EAFNOSUPPORT {
            version = 6
            sender = clinux_open_udp(6)
        }
        let receiver = sender < 0 ? sender : clinux_open_udp(version)
        let loopback = version == 4 ? IPAddress(v4: 0x7F00_0001) : IPAddress(v6High: 0, low: 1)
        self.version = version
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
    func relayOne(_ mode: ciouring_mode) throws(RingError) {
        let memory: PacketMemory
        do throws(PlaneError) {
            memory = try PacketMemory(bufferCount: Inbox.bufferCount, frontByteCount: BufferHead.byteCount)
        } catch {
            throw RingError(step: .buffers, errno: ENOMEM)
        }
        var ring = try Ring(mode: mode)
        try ring.registerFiles()
        try ring.registerBuffers()
        ring.giveBuffer(Inbox.bufferCount - 1, of: memory)
        ring.publishBuffers()
        for (index, descriptor) in [sender, receiver].enumerated() {
            let result = ring.setFile(index, to: descriptor)
            guard result == 0 else { throw RingError(step: .files, errno: -result) }
        }
        var name = sockaddr_in6()
        let nameLength = unsafe clinux_write_name(clinux_local_address(receiver), &name)
        try exchange(&ring, &name, nameLength)
    }

    private func exchange(_ ring: inout Ring, _ name: inout sockaddr_in6, _ nameLength: UInt32) throws(RingError) {
        let receive = Token(.receive)
        guard ring.queueReceive(file: 1, group: .relays, receive) else {
            throw RingError(step: .receive, errno: EBUSY)
        }
        try unsafe withUnsafeMutablePointer(to: &name) { name throws(RingError) in
            var message = unsafe msghdr()
            unsafe message.msg_name = UnsafeMutableRawPointer(name)
            unsafe message.msg_namelen = nameLength
            // The kernel reads it when it is submitted, not when it is queued.
            try unsafe withUnsafePointer(to: &message) { message throws(RingError) in
                guard unsafe ring.queueMessage(file: 0, message, Token(.send)) else {
                    throw RingError(step: .send, errno: EBUSY)
                }
                try ring.submit()
            }
        }
        // Loopback delivers within the call; the rounds are for a host that is busy.
        for _ in 0..<100 {
            _ = ring.takeCompletions()
            for index in 0..<ring.takenCount {
                let completion = ring.completion(index)
                let step = completion.token == receive ? RingError.Step.receive : .send
                guard completion.result >= 0 else { throw RingError(step: step, errno: -completion.result) }
                if step == .receive, completion.buffer != nil { return }
            }
            try ring.wait(nanoseconds: 10_000_000)
        }
        throw RingError(step: .receive, errno: ETIMEDOUT)
    }
}
