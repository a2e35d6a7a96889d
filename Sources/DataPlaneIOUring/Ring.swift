// Unsafe because: the ring is a C object behind a pointer. It is made here, used by one thread and given back once; the
// completions are an array that is allocated here and read under a check.
import CIOUring
import CLinux
import Glibc
import PlaneKit
import RelayWorker

/// One io_uring with its buffers and its files.
@safe struct Ring: ~Copyable {
    /// Enough for every message of a turn and what a turn re-arms.
    private static let submissionCount: UInt32 = 512
    /// Enough for every buffer and every message; what exceeds it waits in the kernel.
    private static let completionCount: UInt32 = 2048
    private static let takeLimit = 128
    /// More files than one worker can have relay ports.
    private static let mostFiles = 131_072
    /// About what it takes to sleep and to be woken.
    private static let devicePollMicroseconds: UInt32 = 50

    private let ring: OpaquePointer
    private let completions: UnsafeMutablePointer<ciouring_completion>
    private var completionCount = 0
    private var refusals = EntryRefusals()
    /// Places in the file table.
    private(set) var fileCount = 0
    /// Sends that have completed, and whose buffers the kernel still reads. The end of the ring does not wait for them;
    /// their buffers are to be unmapped then, not used again.
    var pinnedCount = 0

    init(mode: ciouring_mode) throws(RingError) {
        var ring: OpaquePointer?
        let result = unsafe ciouring_open(&ring, Self.submissionCount, Self.completionCount, mode)
        guard result == 0, let ring = unsafe ring else { throw RingError(step: .setup, errno: -result) }
        unsafe self.ring = ring
        unsafe completions = .allocate(capacity: Self.takeLimit)
        unsafe completions.initialize(repeating: ciouring_completion(), count: Self.takeLimit)
    }

    deinit {
        unsafe ciouring_close(ring, UInt32(clamping: pinnedCount))
        unsafe completions.deallocate()
    }

    /// Requests that may still complete.
    var inFlightCount: Int { Int(unsafe ciouring_in_flight(ring)) }

    /// Has waits look at the network devices themselves before they sleep.
    func pollDevices() throws(RingError) {
        let result = unsafe ciouring_poll_devices(ring, Self.devicePollMicroseconds)
        guard result == 0 else { throw RingError(step: .devices, errno: -result) }
    }

    /// Makes room for as many files as this process may have open.
    /// - Parameter isRegistered: whether the kernel keeps them, as well as what refers to them.
    mutating func makeFiles(isRegistered: Bool) throws(RingError) {
        let count = unsafe ciouring_make_files(ring, UInt32(Self.mostFiles), isRegistered)
        guard count > 0 else { throw RingError(step: .files, errno: -count) }
        fileCount = Int(count)
    }

    /// Puts a descriptor into the file table: 0, or the negated `errno`.
    func setFile(_ index: Int, to descriptor: Int32) -> Int32 {
        unsafe ciouring_set_file(ring, UInt32(index), descriptor)
    }

    /// Takes a descriptor out of the file table.
    func clearFile(_ index: Int) { _ = unsafe ciouring_set_file(ring, UInt32(index), -1) }

    /// Makes the groups that receive buffers are given to.
    func registerBuffers() throws(RingError) {
        for group in [BufferGroup.listeners, .relays] {
            let result = unsafe ciouring_register_buffers(
                ring, UInt32(group.rawValue), UInt32(BufferGroup.bufferCount))
            guard result == 0 else { throw RingError(step: .buffers, errno: -result) }
        }
    }

    /// Gives receive buffer `number` to the kernel, which has it after `publishBuffers`. `memory` must live longer than
    /// this value.
    func giveBuffer(_ number: Int, of memory: borrowing PacketMemory) {
        let byteCount = BufferHead.bufferByteCount
        unsafe ciouring_give_buffer(
            ring, UInt32(BufferGroup(ofBuffer: number).rawValue), UInt16(number),
            memory.address(of: memory.offset(ofBuffer: number), byteCount: byteCount), UInt32(byteCount))
    }

    func publishBuffers() {
        unsafe ciouring_publish_buffers(ring, UInt32(BufferGroup.listeners.rawValue))
        unsafe ciouring_publish_buffers(ring, UInt32(BufferGroup.relays.rawValue))
    }
}

extension Ring {
    // Each of these is false when the submission queue is full.

    /// Datagrams come from now on.
    func queueReceive(file: Int, group: BufferGroup, _ token: Token) -> Bool {
        unsafe ciouring_queue_receive(
            ring, UInt32(file), UInt32(group.rawValue), UInt32(BufferHead.nameByteCount),
            UInt32(BufferHead.controlByteCount), token.rawValue)
    }

    /// `message` is a `struct msghdr`; it and what it points to must stay until the request has completed, the payload of
    /// a send that pins it until its last completion.
    @unsafe func queueMessage(file: Int, _ message: UnsafeRawPointer, _ token: Token) -> Bool {
        unsafe ciouring_queue_message(ring, UInt32(file), message, token.kind == .pinningSend, token.rawValue)
    }

    func queueWatch(_ descriptor: Int32, _ token: Token) -> Bool {
        unsafe ciouring_queue_watch(ring, descriptor, token.rawValue)
    }

    /// Completes once: when the file can be read, or has an error.
    func queuePoll(file: Int, _ token: Token) -> Bool {
        unsafe ciouring_queue_poll(ring, UInt32(file), token.rawValue)
    }

    func queueCancel(_ target: Token) -> Bool {
        unsafe ciouring_queue_cancel(ring, target.rawValue, Token(.cancel).rawValue)
    }

    func queueCancelOfAll() -> Bool { unsafe ciouring_queue_cancel_all(ring, Token(.cancel).rawValue) }

    /// Whether requests wait to be handed to the kernel.
    var hasQueued: Bool { unsafe ciouring_has_queued(ring) }

    /// Hands what is queued to the kernel and collects what has completed, without waiting. What the kernel does not take
    /// now stays queued.
    mutating func submit() throws(RingError) {
        try refusals.note(unsafe ciouring_submit(ring))
        pauseIfRefused()
    }

    /// Hands what is queued to the kernel and waits for a completion, at most so long (nil: for ever). It may return
    /// early.
    mutating func wait(nanoseconds: Int64?) throws(RingError) {
        try refusals.note(unsafe ciouring_wait(ring, nanoseconds ?? -1))
        pauseIfRefused()
    }

    /// Memory does not come back at once.
    private func pauseIfRefused() {
        if refusals.count > 1 { usleep(UInt32(EntryRefusals.pauseMicroseconds)) }
    }

    /// Takes completions; they stand at `completion(0..<n)`. Fewer than all there are, if the result is `true`.
    mutating func takeCompletions() -> Bool {
        completionCount = Int(unsafe ciouring_take(ring, completions, UInt32(Self.takeLimit)))
        return completionCount == Self.takeLimit
    }

    var takenCount: Int { completionCount }

    func completion(_ index: Int) -> Completion {
        precondition(index >= 0 && index < completionCount)
        return Completion(unsafe completions[index])
    }
}

/// What became of a request, or one event of a multishot request.
struct Completion: BitwiseCopyable {
    let token: Token
    /// A count of bytes, or the negated `errno`.
    let result: Int32
    private let flags: UInt32

    init(_ native: ciouring_completion) {
        token = Token(rawValue: native.token)
        result = native.result
        flags = native.flags
    }

    /// Whether the request lives on.
    var hasMore: Bool { flags & UInt32(CIOURING_HAS_MORE) != 0 }

    /// Whether it is the second one of a zero-copy send.
    var isNotification: Bool { flags & UInt32(CIOURING_IS_NOTIFICATION) != 0 }

    /// The receive buffer that came with it, ours now.
    var buffer: Int? {
        flags & UInt32(CIOURING_HAS_BUFFER) == 0 ? nil : Int(flags >> UInt32(CIOURING_BUFFER_SHIFT))
    }
}

/// How often in a row the kernel took nothing and asked to be tried again.
struct EntryRefusals: BitwiseCopyable {
    /// With the pauses between them a quarter of a second at least.
    static let limit = 2_500
    static let pauseMicroseconds = 100

    private(set) var count = 0

    /// Takes note of what `io_uring_enter` returned: a count, or the negated `errno`. `EAGAIN` says that the kernel had no
    /// memory for a request, `EBUSY` that completions must be taken first; neither has taken anything.
    mutating func note(_ result: Int32) throws(RingError) {
        switch result {
        case 0..., -EINTR: count = 0
        case -EAGAIN, -EBUSY:
            count += 1
            guard count < Self.limit else { throw RingError(step: .enter, errno: -result) }
        default: throw RingError(step: .enter, errno: -result)
        }
    }
}

/// A step of making or using a ring that the kernel refused.
struct RingError: Error {
    enum Step { case setup, devices, files, buffers, receive, send, enter }

    let step: Step
    /// Positive.
    let errno: Int32

    /// Whether it is of a limit that any ring can meet, whatever it is to be used for.
    var isOfAnyRing: Bool { step == .files || step == .buffers }
}
