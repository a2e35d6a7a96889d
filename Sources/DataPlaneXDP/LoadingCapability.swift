/// A capability that loading the program takes, and what for.
struct LoadingCapability {
    let capability: Capability
    let purpose: String

    static let all = [
        LoadingCapability(capability: .bpf, purpose: "to make maps and load programs"),
        LoadingCapability(capability: .netAdmin, purpose: "to load XDP programs and to have neighbours checked"),
        LoadingCapability(capability: .perfmon, purpose: "for the verifier to let a program compute with pointers"),
    ]

    static func missing(from held: CapabilitySet) -> [LoadingCapability] { all.filter { !held.allows($0.capability) } }

    var reason: String { "\(capability.name) is missing, which is needed \(purpose)" }

    /// How to grant it, with others.
    func mend(with others: some Sequence<LoadingCapability>) -> String {
        let names = ([self] + others).map(\.capability.name).joined(separator: " ")
        return "\(names) (systemd: AmbientCapabilities=\(names))"
    }
}
