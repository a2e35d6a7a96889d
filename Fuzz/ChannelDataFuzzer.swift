import STUN

/// One for all inputs: libFuzzer calls from one thread.
nonisolated(unsafe) private var exercise = Exercise()

/// libFuzzer's entry: any bytes as ChannelData. A contradiction ends the process, as a trap does.
@_cdecl("LLVMFuzzerTestOneInput")
func fuzzOneInput(_ start: UnsafeRawPointer?, _ byteCount: Int) -> CInt {
    let bytes = UnsafeRawBufferPointer(start: start, count: byteCount)
    if let complaint = exercise.channelData(bytes.bytes) { fatalError(complaint) }
    return 0
}
