import ArgumentParser
import DataPlaneXDP

@main
enum Program {
    /// On the main thread, which is the only one yet.
    @MainActor
    static func main() async {
        // Who asks a running relay may be root, and its socket another user's.
        if !asksRelay { Privileges.setAside() }
        await Relayd.main()
    }

    private static var asksRelay: Bool {
        Relayd.questions.contains { $0._commandName == CommandLine.arguments.dropFirst().first }
    }
}

struct Relayd: AsyncParsableCommand {
    /// The commands that are clients of a running relay.
    static let questions: [any ParsableCommand.Type] = [
        Status.self, Plane.self, Sessions.self, Kick.self, SetLogLevel.self, StartDrain.self, Reload.self,
    ]

    static let configuration = CommandConfiguration(
        commandName: "relayd",
        abstract: "A STUN and TURN relay (RFC 8489, RFC 8656) whose data plane is a plug-in.",
        discussion: """
            Examples:
              relayd --demo
              relayd --realm example.org --user alice:secret --relay-address 192.0.2.10
              relayd --config /etc/relayd.yaml --http 127.0.0.1:9090
              relayd check --config /etc/relayd.yaml
              relayd plane io-uring --admin-socket /run/relayd/admin.sock
              relayd migrate /etc/turnserver.conf > relayd.yaml
              relayd credentials --auth-secret-file /etc/relayd.secret --user-id alice --lifetime 24h

            Every option --KEY is also the YAML key KEY and the environment variable RELAYD_KEY
            (--relay-address: RELAYD_RELAY_ADDRESS; lists are separated by commas there).
            The command line beats the environment, the environment beats the file.

            SIGHUP reloads the configuration, SIGUSR1 drains; relayd options prints the reference of all options.

            Exit status: 0 stopped when asked to, 64 wrong usage, 69 the host refused something,
            78 the configuration is at fault.
            """,
        version: Version.line,
        subcommands: [Run.self, Check.self, Doctor.self, Credentials.self] + questions
            + [Migrate.self, ShowOptions.self],
        defaultSubcommand: Run.self)
}

extension Version {
    /// What `--version` prints.
    static let line = "relayd \(number)"
}
