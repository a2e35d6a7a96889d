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

    @Test("A plane that was asked for by name has no fallback")
    func namedHasNoFallback() throws {
        #expect(try PlaneChoice.choose(among: candidates(nil, nil, nil), requested: "xdp").fallbacks.isEmpty)
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
