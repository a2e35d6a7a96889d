import ArgumentParser

/// `relayd sessions`: who is relayed now.
struct Sessions: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List the sessions of a running relay, or show one.",
        discussion: "A session is one allocation. Its ID is stable, and begins with the number of its worker.")

    @Argument(help: "The ID of one session, to show it with its channels and permissions.")
    var id: String?
    @Option(help: "Sessions of this user alone.")
    var user: String?
    @Option(help: "Sessions of this client alone: an address, or an address and a port.")
    var client: String?
    @Option(help: "Sessions that may talk to this peer: an address; with a port, those with a channel to it.")
    var peer: String?
    @Option(help: "Go on behind this session.")
    var after: String?
    @Option(help: "How many to list, 1 to 1000.")
    var limit = 100
    @OptionGroup var options: AdminOptions

    func run() async throws {
        let admin = try options.client()
        do throws(AdminClient.Failure) {
            if let id {
                let path = "/sessions/" + Query.encoded(id)
                let detail = try await admin.get(path, as: SessionAnswerDetail.self)
                return print(options.json ? AdminAnswer.text(json: detail) : detail.table, terminator: "")
            }
            let path = Query.path(
                "/sessions",
                [("after", after), ("limit", "\(limit)"), ("user", user), ("client", client), ("peer", peer)])
            let list = try await admin.get(path, as: SessionList.self)
            print(options.json ? AdminAnswer.text(json: list) : list.table, terminator: "")
        } catch {
            throw AdminOptions.exit(error)
        }
    }
}

/// `relayd kick`: ends sessions.
struct Kick: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "End sessions of a running relay: one, or all of a user.",
        discussion: "Whoever still has good credentials may open a new one.")

    @Argument(help: "The ID of the session, as relayd sessions shows it.")
    var id: String?
    @Option(help: "End all sessions of this user.")
    var user: String?
    @OptionGroup var options: AdminOptions

    func validate() throws {
        guard (id == nil) != (user == nil) else { throw ValidationError("Name one session, or a --user.") }
    }

    func run() async throws {
        let admin = try options.client()
        do throws(AdminClient.Failure) {
            let answer: KickAnswer
            if let user {
                answer = try await admin.post("/kick", KickRequest(user: user), as: KickAnswer.self)
            } else {
                answer = try await admin.delete("/sessions/" + Query.encoded(id ?? ""), as: KickAnswer.self)
            }
            print(options.json ? AdminAnswer.text(json: answer) : "\(answer.kicked) ended\n", terminator: "")
        } catch {
            throw AdminOptions.exit(error)
        }
    }
}

/// `relayd log-level`: what a running relay logs.
struct SetLogLevel: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "log-level", abstract: "Show or change the least severe level that a running relay logs.")

    @Argument(help: "trace, debug, info, notice, warning, error or critical; nothing to show the level.")
    var level: String?
    @OptionGroup var options: AdminOptions

    func run() async throws {
        let admin = try options.client()
        do throws(AdminClient.Failure) {
            let now: LogLevelBody
            if let level {
                now = try await admin.post("/log-level", LogLevelBody(level: level), as: LogLevelBody.self)
            } else {
                now = try await admin.get("/log-level", as: LogLevelBody.self)
            }
            print(options.json ? AdminAnswer.text(json: now) : now.level + "\n", terminator: "")
        } catch {
            throw AdminOptions.exit(error)
        }
    }
}
