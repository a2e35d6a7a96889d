import ArgumentParser

/// The flags of `relayd run` and `relayd check`, one a key. Every option is read as a list, so that a single value which
/// is given twice can be refused. Values are checked later, together with those from the environment and the file, so that every source gets the same messages.
struct CommandLineOptions: ParsableArguments {
    @Option(name: .long, help: "A YAML file with any of the keys below.")
    var config: String?

    @Option(name: .long, help: help("Where clients talk to.", .listen))
    var listen: [String] = []
    @Option(name: .long, help: help("Where relayed addresses are made, one or more a family.", .relayAddress))
    var relayAddress: [String] = []
    @Option(name: .long, help: help("What the world knows a relay address by, behind a 1:1 NAT.", .externalAddress))
    var externalAddress: [String] = []
    @Option(name: .long, help: help("The ports of relayed addresses.", .relayPorts))
    var relayPorts: [String] = []
    @Option(name: .long, help: help("The realm of the credentials.", .realm))
    var realm: [String] = []
    @Option(name: .long, help: help("A user with a password.", .user))
    var user: [String] = []
    @Option(name: .long, help: help("A secret of time-limited credentials; several during a rotation.", .authSecret))
    var authSecret: [String] = []
    @Option(name: .long, help: help("Secrets from a file, out of the process list.", .authSecretFile))
    var authSecretFile: [String] = []
    @Option(name: .long, help: help("Which peers are reachable unless listed.", .peerProfile))
    var peerProfile: [String] = []
    @Option(name: .long, help: help("Peers to allow; the longest match wins.", .allowPeer))
    var allowPeer: [String] = []
    @Option(name: .long, help: help("Peers to deny; the longest match wins.", .denyPeer))
    var denyPeer: [String] = []
    @Option(name: .long, help: help("Living allocations of one user.", .allocationsPerUser))
    var allocationsPerUser: [String] = []
    @Option(name: .long, help: help("Living permissions of one allocation.", .permissionsPerAllocation))
    var permissionsPerAllocation: [String] = []
    @Option(name: .long, help: help("Answers a second to one source without credentials.", .unauthenticatedRate))
    var unauthenticatedRate: [String] = []
    @Option(name: .long, help: help("How long a nonce is good.", .nonceLifetime))
    var nonceLifetime: [String] = []
    @Flag(
        name: .customLong("rfc5766-channel-numbers"),
        help: "Accept channel numbers 0x5000 to 0x7FFF too, for old clients.")
    var rfc5766ChannelNumbers = false
    @Option(name: .long, help: help("How datagrams are moved.", .dataPlane))
    var dataPlane: [String] = []
    @Flag(name: .long, help: "If the data plane that was asked for cannot start, take the best one that can.")
    var fallback = false
    @Option(name: .long, help: help("Interfaces for the XDP program.", .xdpInterface))
    var xdpInterface: [String] = []
    @Option(name: .long, help: help("Where the XDP program runs.", .xdpMode))
    var xdpMode: [String] = []
    @Option(name: .long, help: help("Where relayed frames go next: by the kernel's tables, or back.", .xdpNextHop))
    var xdpNextHop: [String] = []
    @Option(name: .long, help: help("Routes that the kernel can hold at once.", .xdpRoutes))
    var xdpRoutes: [String] = []
    @Option(name: .long, help: help("The plane below XDP, for what the kernel leaves.", .xdpSlowPath))
    var xdpSlowPath: [String] = []
    @Option(name: .long, help: help("Threads, each with its share of the clients.", .workers))
    var workers: [String] = []
    @Option(name: .long, help: help("SO_RCVBUF of every socket.", .receiveBuffer))
    var receiveBuffer: [String] = []
    @Option(name: .long, help: help("SO_SNDBUF of every socket.", .sendBuffer))
    var sendBuffer: [String] = []
    @Option(name: .long, help: help("Serve health, metrics and administration over HTTP.", .http))
    var http: [String] = []
    @Option(name: .long, help: help("The token that administration over HTTP asks for.", .httpTokenFile))
    var httpTokenFile: [String] = []
    @Option(name: .long, help: help("A unix socket for administration.", .adminSocket))
    var adminSocket: [String] = []
    @Option(name: .long, help: help("The least severe lines that are logged.", .logLevel))
    var logLevel: [String] = []
    @Option(name: .long, help: help("How lines are written.", .logFormat))
    var logFormat: [String] = []
    @Flag(name: .long, help: "A relay on loopback with fresh credentials, to try.")
    var demo = false

    /// What was said, by key; keys that were not named are absent.
    var values: [OptionKey: [String]] {
        let given: [OptionKey: [String]] = [
            .listen: listen, .relayAddress: relayAddress, .externalAddress: externalAddress, .relayPorts: relayPorts,
            .realm: realm, .user: user, .authSecret: authSecret, .authSecretFile: authSecretFile,
            .peerProfile: peerProfile, .allowPeer: allowPeer, .denyPeer: denyPeer,
            .allocationsPerUser: allocationsPerUser, .permissionsPerAllocation: permissionsPerAllocation,
            .unauthenticatedRate: unauthenticatedRate, .nonceLifetime: nonceLifetime, .dataPlane: dataPlane,
            .xdpInterface: xdpInterface, .xdpMode: xdpMode, .xdpNextHop: xdpNextHop, .xdpRoutes: xdpRoutes,
            .xdpSlowPath: xdpSlowPath, .httpTokenFile: httpTokenFile, .adminSocket: adminSocket,
            .workers: workers, .receiveBuffer: receiveBuffer, .sendBuffer: sendBuffer, .http: http,
            .logLevel: logLevel, .logFormat: logFormat,
            .rfc5766ChannelNumbers: rfc5766ChannelNumbers ? ["true"] : [], .fallback: fallback ? ["true"] : [],
            .demo: demo ? ["true"] : [],
        ]
        return given.filter { !$0.value.isEmpty }
    }

    private static func help(_ text: String, _ key: OptionKey) -> ArgumentHelp {
        let shown = key.defaultText.map { " (default: \($0))" } ?? ""
        return ArgumentHelp("\(text)\(shown)", valueName: key.shape == .list ? "value, repeatable" : "value")
    }
}
