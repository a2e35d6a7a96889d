import CLinux

/// The descriptor that wakes a worker: readable from `signal` until `drain`.
public enum WakeDescriptor {
    public static func open() throws(SocketError) -> Int32 {
        let descriptor = clinux_eventfd_create()
        guard descriptor >= 0 else { throw SocketError(errno: -descriptor, subject: "the worker's wake-up descriptor") }
        return descriptor
    }

    public static func signal(_ descriptor: Int32) { clinux_eventfd_signal(descriptor) }

    public static func drain(_ descriptor: Int32) { clinux_eventfd_clear(descriptor) }

    public static func close(_ descriptor: Int32) { _ = clinux_close(descriptor) }
}
