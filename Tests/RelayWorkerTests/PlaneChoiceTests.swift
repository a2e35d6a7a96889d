import RelayWorker
import Testing

@Suite("The choice of a data plane")
struct PlaneChoiceTests {
    private static let error = PlaneError(what: "No program loads", why: "CAP_BPF is missing", mend: "Grant it.")
    private static let other = PlaneError(what: "No ring opens", why: "seccomp forbids it", mend: "Allow it.")

    /// The planes in order of preference; `nil` is a usable one.
    private func candidates(
        _ xdp: PlaneError?, _ ioUring: PlaneError?, _ socket: PlaneError?
    ) -> [PlaneChoice.Candidate] {
        [("xdp", xdp), ("io-uring", ioUring), ("socket", socket)].map { name, error in
            PlaneChoice.Candidate(name: name, probe: error.map { .refused($0) } ?? .usable("\(name) does it"))
        }
    }

    @Test("auto takes the first usable plane; the usable ones behind it are the fallbacks; the rest have reasons")
    func automatic() throws {
        let all = try PlaneChoice.choose(among: candidates(nil, nil, nil), requested: nil)
        #expect(all.chosen == "xdp")
        #expect(all.promise == "xdp does it")
        #expect(all.fallbacks == ["io-uring", "socket"])
        #expect(all.refusals.isEmpty)

        let second = try PlaneChoice.choose(among: candidates(Self.error, nil, nil), requested: nil)
        #expect(second.chosen == "io-uring")
        #expect(second.fallbacks == ["socket"])
        #expect(second.refusals.map(\.name) == ["xdp"])
        #expect(second.refusals.map(\.reason) == [Self.error])

        let last = try PlaneChoice.choose(among: candidates(Self.error, Self.other, nil), requested: nil)
        #expect(last.chosen == "socket")
        #expect(last.fallbacks.isEmpty)
        #expect(last.refusals.map(\.name) == ["xdp", "io-uring"])

        let gap = try PlaneChoice.choose(among: candidates(nil, Self.other, nil), requested: nil)
        #expect(gap.chosen == "xdp")
        #expect(gap.fallbacks == ["socket"])
        #expect(gap.refusals.map(\.reason) == [Self.other])
    }

    @Test("auto without any usable plane is an error that names every reason")
    func nothing() {
        let error = #expect(throws: PlaneError.self) {
            try PlaneChoice.choose(among: candidates(Self.error, Self.other, Self.error), requested: nil)
        }
        #expect(error?.description.contains("CAP_BPF is missing") == true)
        #expect(error?.description.contains("seccomp forbids it") == true)
    }

    @Test(
        "A plane that was asked for by name runs, whatever stands before it", arguments: ["xdp", "io-uring", "socket"])
    func named(name: String) throws {
        let choice = try PlaneChoice.choose(among: candidates(nil, nil, nil), requested: name)
        #expect(choice.chosen == name)
        #expect(choice.promise == "\(name) does it")
    }

    @Test("Behind a plane that was asked for by name stand the others in their order, for the case that it fails later")
    func namedHasFallbacks() throws {
        #expect(
            try PlaneChoice.choose(among: candidates(nil, nil, nil), requested: "io-uring").fallbacks
                == ["xdp", "socket"])
        #expect(
            try PlaneChoice.choose(among: candidates(Self.error, nil, nil), requested: "socket").fallbacks
                == ["io-uring"])
    }

    @Test("With a fallback allowed, a refused plane gives way to the best of the others, and its reason is kept")
    func namedFallsBack() throws {
        let choice = try PlaneChoice.choose(
            among: candidates(Self.error, nil, nil), requested: "xdp", fallsBack: true)
        #expect(choice.chosen == "io-uring")
        #expect(choice.fallbacks == ["socket"])
        #expect(choice.refusals.map(\.reason) == [Self.error])
        let granted = try PlaneChoice.choose(among: candidates(nil, nil, nil), requested: "socket", fallsBack: true)
        #expect(granted.chosen == "socket")
    }

    @Test("A plane that was not tried is neither a fallback nor a refusal")
    func untried() throws {
        let candidates = [
            PlaneChoice.Candidate(name: "xdp", probe: .untried),
            PlaneChoice.Candidate(name: "socket", probe: .usable("socket does it")),
        ]
        let choice = try PlaneChoice.choose(among: candidates, requested: "socket")
        #expect(choice.fallbacks.isEmpty)
        #expect(choice.refusals.isEmpty)
    }

    @Test("A plane that was asked for by name and cannot start is an error, not a quiet fallback")
    func namedIsRefused() {
        #expect(throws: Self.error) {
            try PlaneChoice.choose(among: candidates(Self.error, nil, nil), requested: "xdp")
        }
    }

    @Test("A plane that this build does not have is an error that lists those it has")
    func unknown() {
        let error = #expect(throws: PlaneError.self) {
            try PlaneChoice.choose(among: candidates(nil, nil, nil), requested: "netmap")
        }
        #expect(error?.description.contains("netmap") == true)
        #expect(error?.description.contains("xdp, io-uring, socket") == true)
    }
}
