/// What a plane said when it was asked whether it can run on this host.
public enum PlaneProbe: Sendable, Equatable {
    /// It can; in a person's words, what it will do ("epoll, recvmmsg and sendmmsg, GRO, GSO").
    case usable(String)
    case refused(PlaneError)
    /// Not asked: finding out costs much, and another plane was asked for by name.
    case untried
}

/// Which planes run, in which order, and why the others do not: a pure function of what was asked and what the probes
/// said.
public struct PlaneChoice: Sendable, Equatable {
    /// A plane and what its probe said.
    public struct Candidate: Sendable, Equatable {
        public let name: String
        public let probe: PlaneProbe

        public init(name: String, probe: PlaneProbe) {
            self.name = name
            self.probe = probe
        }

        /// Why it was passed over; nothing where it was not, or not asked.
        public var refusal: Refusal? {
            if case .refused(let reason) = probe { Refusal(name: name, reason: reason) } else { nil }
        }
    }

    /// Why one plane was passed over.
    public struct Refusal: Sendable, Equatable {
        public let name: String
        public let reason: PlaneError

        public init(name: String, reason: PlaneError) {
            self.name = name
            self.reason = reason
        }
    }

    /// The plane that runs, and what it will do.
    public let chosen: String
    public let promise: String
    /// The usable planes behind it, in the order in which they take over if it fails while running.
    public let fallbacks: [String]
    public let refusals: [Refusal]

    /// Chooses among `candidates`, which stand in the order of preference.
    ///
    /// - Parameters:
    ///   - candidates: every plane of this build, the best first.
    ///   - requested: a plane by name; nil for the first usable one.
    ///   - fallsBack: if the requested one is refused, go on as if none had been asked for, instead of an error.
    public static func choose(
        among candidates: [Candidate], requested: String?, fallsBack: Bool = false
    ) throws(PlaneError) -> PlaneChoice {
        var usable = candidates.compactMap { candidate -> (name: String, promise: String)? in
            if case .usable(let promise) = candidate.probe { (candidate.name, promise) } else { nil }
        }
        let refusals = candidates.compactMap(\.refusal)
        if let requested {
            guard candidates.contains(where: { $0.name == requested }) else {
                throw PlaneError(
                    what: "There is no data plane called \(requested)",
                    why: "this build has \(candidates.map(\.name).joined(separator: ", "))",
                    mend: "Choose one of them, or auto.")
            }
            if !fallsBack, let refusal = refusals.first(where: { $0.name == requested }) { throw refusal.reason }
            // The requested one first, the others behind it in their order.
            usable = usable.filter { $0.name == requested } + usable.filter { $0.name != requested }
        }
        guard let first = usable.first else {
            throw PlaneError(
                what: "No data plane can run here",
                why: refusals.map { "\($0.name): \($0.reason)" }.joined(separator: "; "),
                mend: "Mend one of these; relayd doctor shows them one by one.")
        }
        return PlaneChoice(
            chosen: first.name, promise: first.promise, fallbacks: usable.dropFirst().map(\.name), refusals: refusals)
    }
}
