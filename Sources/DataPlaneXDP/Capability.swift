import CLinux

/// A right of a thread (capabilities(7)), by its number in linux/capability.h.
public enum Capability: UInt8, Sendable, CaseIterable {
    case readAnyFile = 2
    case bindLowPorts = 10
    case netAdmin = 12
    case netRaw = 13
    case sysAdmin = 21
    case sysNice = 23
    case perfmon = 38
    case bpf = 39

    /// As it stands in manuals and in service files.
    public var name: String {
        switch self {
        case .readAnyFile: "CAP_DAC_READ_SEARCH"
        case .bindLowPorts: "CAP_NET_BIND_SERVICE"
        case .netAdmin: "CAP_NET_ADMIN"
        case .netRaw: "CAP_NET_RAW"
        case .sysAdmin: "CAP_SYS_ADMIN"
        case .sysNice: "CAP_SYS_NICE"
        case .perfmon: "CAP_PERFMON"
        case .bpf: "CAP_BPF"
        }
    }

    var bit: UInt64 { 1 << UInt64(rawValue) }
}

/// Several capabilities.
public struct CapabilitySet: Sendable, Equatable {
    let bits: UInt64

    init(bits: UInt64) { self.bits = bits }

    init(_ capabilities: [Capability]) { bits = capabilities.reduce(0) { $0 | $1.bit } }

    /// Those of this thread that count.
    static var effective: CapabilitySet { CapabilitySet(bits: clinux_effective_capabilities()) }

    /// Whether it is there, or CAP_SYS_ADMIN, which stood for the younger ones before they were made.
    func allows(_ capability: Capability) -> Bool {
        let isYoung = capability == .bpf || capability == .perfmon
        return bits & capability.bit != 0 || isYoung && bits & Capability.sysAdmin.bit != 0
    }
}
