/// What the kernel offers beyond what the plane always uses. None of it is on unless it is asked for by name.
public struct RingFeatures: OptionSet, Sendable, CustomStringConvertible {
    public let rawValue: UInt8

    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// A thread of the kernel takes the requests (`IORING_SETUP_SQPOLL`), so that sending needs no system call. Every
    /// message is a request then.
    public static let sqpoll = RingFeatures(rawValue: 1 << 0)
    /// A wait looks at the network devices itself before it sleeps (`IORING_REGISTER_NAPI`).
    public static let napi = RingFeatures(rawValue: 1 << 1)
    /// Large messages leave from the buffer that they came in (`IORING_OP_SENDMSG_ZC`).
    public static let zeroCopy = RingFeatures(rawValue: 1 << 2)

    private static let named: [(name: String, feature: RingFeatures)] = [
        ("sqpoll", .sqpoll), ("napi", .napi), ("zero-copy", .zeroCopy),
    ]

    /// The one feature of this name; nothing where there is none.
    public init?(named name: String) {
        guard let found = Self.named.first(where: { $0.name == name }) else { return nil }
        self = found.feature
    }

    /// Each of them by itself.
    var each: [RingFeatures] { Self.named.map(\.feature).filter(contains) }

    /// What the kernel calls it.
    var kernelName: String {
        switch self {
        case .sqpoll: "IORING_SETUP_SQPOLL"
        case .napi: "IORING_REGISTER_NAPI"
        default: "IORING_OP_SENDMSG_ZC"
        }
    }

    /// The oldest kernel that has it, together with what the plane needs in any case.
    var oldestKernel: String {
        switch self {
        case .sqpoll: "Linux 6.0"
        case .napi: "Linux 6.9"
        default: "Linux 6.1"
        }
    }

    /// The names, in a fixed order.
    public var description: String {
        Self.named.filter { contains($0.feature) }.map(\.name).joined(separator: ", ")
    }
}
