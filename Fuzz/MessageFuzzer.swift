import STUN

/// One for all inputs: libFuzzer calls from one thread.
nonisolated(unsafe) private var exercise = Exercise()

/// libFuzzer's entry: any bytes as a STUN message. A contradiction ends the process, as a trap does.
@_cdecl("LLVMFuzzerTestOneInput")
func fuzzOneInput(_ start: UnsafeRawPointer?, _ byteCount: Int) -> CInt {
    let bytes = UnsafeRawBufferPointer(start: start, count: byteCount)
    if let complaint = exercise.message(bytes.bytes) { fatalError(complaint) }
    return 0
}
