import Glibc
import RelayWorker

extension PlaneError {
    /// Why io_uring cannot be used, in a person's words.
    /// - Parameter disabled: what `kernel.io_uring_disabled` says; nothing where the kernel has no such switch.
    init(_ error: RingError, disabled: Int? = ioUringDisabled()) {
        self = error.step == .setup ? .setup(error.errno, disabled: disabled) : .use(error)
    }

    /// Why a feature that was asked for cannot be used, where the ring itself can.
    init(_ error: RingError, of feature: RingFeatures) {
        self = error.isOfAnyRing ? PlaneError(error) : .refusal(error.errno, of: feature)
    }

    /// Why features that were asked for cannot be used together, where each of them can.
    init(_ error: RingError, together features: RingFeatures) {
        self = error.isOfAnyRing ? PlaneError(error) : .refusal(error.errno, together: features)
    }

    private static func refusal(_ errno: Int32, of feature: RingFeatures) -> PlaneError {
        let why =
            switch errno {
            case EINVAL, ENOSYS: "this kernel does not know it"
            case EOPNOTSUPP where feature == .napi:
                "this kernel was built without busy polling (CONFIG_NET_RX_BUSY_POLL)"
            default: String(systemErrorNumber: errno)
            }
        return PlaneError(
            what: "\(feature) of io-uring-features (\(feature.kernelName))", why: why,
            mend: "Run \(feature.oldestKernel) or newer, or leave \(feature) out of io-uring-features")
    }

    private static func refusal(_ errno: Int32, together features: RingFeatures) -> PlaneError {
        PlaneError(
            what: "\(features) of io-uring-features",
            why: "each of them works here, but not all together: \(String(systemErrorNumber: errno))",
            mend: "Leave one of them out of io-uring-features")
    }

    private static func setup(_ errno: Int32, disabled: Int?) -> PlaneError {
        let what = "io_uring_setup"
        let instead = "or use the socket plane"
        switch errno {
        case EPERM:
            switch disabled {
            case 2:
                return PlaneError(
                    what: what, why: "io_uring is disabled on this host (kernel.io_uring_disabled=2)",
                    mend: "Set it to 0 (sysctl -w kernel.io_uring_disabled=0), \(instead)")
            case 1:
                return PlaneError(
                    what: what,
                    why: "io_uring is only for privileged processes on this host (kernel.io_uring_disabled=1)",
                    mend: "Set it to 0, put this process into the group of kernel.io_uring_group, \(instead)")
            default:
                return PlaneError(
                    what: what, why: "permission denied, most likely by a container's seccomp profile",
                    mend: "Allow io_uring_setup, io_uring_enter and io_uring_register in the profile, \(instead)")
            }
        case ENOSYS:
            return PlaneError(
                what: what, why: "this kernel was built without io_uring, or a sandbox hides it",
                mend: "Run \(IOUringPlane.oldestKernel) or newer with CONFIG_IO_URING, \(instead)")
        case ENOMEM:
            return PlaneError(
                what: what, why: "the limit of locked memory, or of the memory group, leaves no room for the ring",
                mend: "Raise it (ulimit -l, LimitMEMLOCK, memory.max), \(instead)")
        case EINVAL:
            return PlaneError(
                what: what, why: "this kernel does not know the flags of a ring with one issuer (SINGLE_ISSUER)",
                mend: "Run \(IOUringPlane.oldestKernel) or newer, \(instead)")
        default:
            return PlaneError(
                what: what, why: String(systemErrorNumber: errno),
                mend: errno == EMFILE || errno == ENFILE
                    ? "Raise the limit of open files (ulimit -n, LimitNOFILE), \(instead)" : "Use the socket plane")
        }
    }

    private static func use(_ error: RingError) -> PlaneError {
        let reason = String(systemErrorNumber: error.errno)
        let upgrade = "Run \(IOUringPlane.oldestKernel) or newer, or use the socket plane"
        switch error.step {
        case .files: return files(error.errno)
        case .buffers where error.errno == ENOMEM:
            return PlaneError(
                what: "registering buffers with io_uring", why: reason,
                mend: "Raise the limits of locked memory (ulimit -l, LimitMEMLOCK) and of the memory group")
        case .buffers:
            return PlaneError(
                what: "registering buffers with io_uring",
                why: error.errno == EINVAL ? "this kernel has no rings of provided buffers" : reason, mend: upgrade)
        case .receive:
            return PlaneError(
                what: "a multishot recvmsg of io_uring",
                why: error.errno == EINVAL ? "this kernel has none" : reason, mend: upgrade)
        case .send:
            return PlaneError(what: "a sendmsg of io_uring", why: reason, mend: upgrade)
        case .setup, .devices, .enter: return enter(error.errno)
        }
    }

    private static func files(_ errno: Int32) -> PlaneError {
        let mend =
            switch errno {
            case EMFILE, ENFILE: "Raise the limit of open files (ulimit -n, LimitNOFILE)"
            case ENOMEM: memoryMend
            default: "Run \(IOUringPlane.oldestKernel) or newer, or use the socket plane"
            }
        return PlaneError(
            what: "registering sockets with io_uring", why: String(systemErrorNumber: errno), mend: mend)
    }

    private static func enter(_ errno: Int32) -> PlaneError {
        let what = "io_uring_enter"
        switch errno {
        case ENOMEM, EAGAIN:
            return PlaneError(what: what, why: "the kernel has no memory for requests", mend: memoryMend)
        case EBADR:
            return PlaneError(what: what, why: "the kernel lost completions for want of memory", mend: memoryMend)
        default:
            return PlaneError(
                what: what, why: String(systemErrorNumber: errno), mend: "This is a defect; please report it")
        }
    }

    private static let memoryMend =
        "Give the host or the memory group (memory.max) more memory, or use the socket plane"
}

/// What the host's administrator has set: 0 where everybody may, nothing where the kernel has no such switch.
func ioUringDisabled() -> Int? {
    let descriptor = unsafe open("/proc/sys/kernel/io_uring_disabled", O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var digit: UInt8 = 0
    guard unsafe read(descriptor, &digit, 1) == 1 else { return nil }
    return Int(digit) - Int(UInt8(ascii: "0"))
}
