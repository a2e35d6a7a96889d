import ArgumentParser

/// `relayd drain`: has a running relay end without cutting anybody off.
struct StartDrain: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "drain",
        abstract: "Refuse new allocations, and end when the living ones have, or after drain-timeout.",
        discussion: "The same as SIGUSR1. relayd status shows how many are left.")

    @OptionGroup var options: AdminOptions

    func run() async throws {
        let admin = try options.client()
        do throws(AdminClient.Failure) {
            let answer = try await admin.post("/drain", [String: String](), as: DrainAnswer.self)
            print(
                options.json ? AdminAnswer.text(json: answer) : "draining, \(answer.allocations) allocations left\n",
                terminator: "")
        } catch {
            throw AdminOptions.exit(error)
        }
    }
}

/// `relayd reload`: has a running relay read its options again.
struct Reload: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Read the configuration again, without touching living allocations.",
        discussion: """
            The same as SIGHUP. The log of the relay says what changed, what waits for a restart, or what is wrong;
            relayd check says that beforehand.
            """)

    @OptionGroup var options: AdminOptions

    func run() async throws {
        let admin = try options.client()
        do throws(AdminClient.Failure) {
            let answer = try await admin.post("/reload", [String: String](), as: ReloadAnswer.self)
            print(options.json ? AdminAnswer.text(json: answer) : "asked for; see the relay's log\n", terminator: "")
        } catch {
            throw AdminOptions.exit(error)
        }
    }
}
