import ArgumentParser

/// The flags of `relayd run` and `relayd check`, one a key. Every option is read as a list, so that a single value which
/// is given twice can be refused. Values are checked later, together with those from the environment and the file, so that every source gets the same messages.
struct CommandLineOptions: ParsableArguments {
    @Option(name: .long, help: "A YAML file with any of the keys below.")
    var config: String?

    @Option(name: .long, help: help(.listen))
    var listen: [String] = []
    @Option(name: .long, help: help(.relayAddress))
    var relayAddress: [String] = []
    @Option(name: .long, help: help(.externalAddress))
    var externalAddress: [String] = []
    @Option(name: .long, help: help(.relayPorts))
    var relayPorts: [String] = []
    @Option(name: .long, help: help(.realm))
    var realm: [String] = []
    @Option(name: .long, help: help(.user))
    var user: [String] = []
    @Option(name: .long, help: help(.authSecret))
    var authSecret: [String] = []
    @Option(name: .long, help: help(.authSecretFile))
    var authSecretFile: [String] = []
    @Option(name: .long, help: help(.peerProfile))
    var peerProfile: [String] = []
    @Option(name: .long, help: help(.allowPeer))
    var allowPeer: [String] = []
    @Option(name: .long, help: help(.denyPeer))
    var denyPeer: [String] = []
    @Option(name: .long, help: help(.allocationsPerUser))
    var allocationsPerUser: [String] = []
    @Option(name: .long, help: help(.allocationsTotal))
    var allocationsTotal: [String] = []
    @Option(name: .long, help: help(.permissionsPerAllocation))
    var permissionsPerAllocation: [String] = []
    @Option(name: .long, help: help(.channelsPerAllocation))
    var channelsPerAllocation: [String] = []
    @Option(name: .long, help: help(.newPeerRate))
    var newPeerRate: [String] = []
    @Option(name: .long, help: help(.allocationRate))
    var allocationRate: [String] = []
    @Option(name: .long, help: help(.allocationPacketRate))
    var allocationPacketRate: [String] = []
    @Option(name: .long, help: help(.userRate))
    var userRate: [String] = []
    @Option(name: .long, help: help(.userPacketRate))
    var userPacketRate: [String] = []
    @Option(name: .long, help: help(.unauthenticatedRate))
    var unauthenticatedRate: [String] = []
    @Option(name: .long, help: help(.nonceLifetime))
    var nonceLifetime: [String] = []
    @Flag(name: .customLong("rfc5766-channel-numbers"), help: help(.rfc5766ChannelNumbers))
    var rfc5766ChannelNumbers = false
    @Option(name: .long, help: help(.dataPlane))
    var dataPlane: [String] = []
    @Flag(name: .long, help: help(.fallback))
    var fallback = false
    @Option(name: .long, help: help(.xdpInterface))
    var xdpInterface: [String] = []
    @Option(name: .long, help: help(.xdpMode))
    var xdpMode: [String] = []
    @Option(name: .long, help: help(.xdpNextHop))
    var xdpNextHop: [String] = []
    @Option(name: .long, help: help(.xdpRoutes))
    var xdpRoutes: [String] = []
    @Option(name: .long, help: help(.xdpSlowPath))
    var xdpSlowPath: [String] = []
    @Option(name: .long, help: help(.offloads))
    var offloads: [String] = []
    @Option(name: .long, help: help(.ioUringFeatures))
    var ioUringFeatures: [String] = []
    @Option(name: .long, help: help(.workers))
    var workers: [String] = []
    @Option(name: .long, help: help(.receiveBuffer))
    var receiveBuffer: [String] = []
    @Option(name: .long, help: help(.sendBuffer))
    var sendBuffer: [String] = []
    @Option(name: .long, help: help(.http))
    var http: [String] = []
    @Option(name: .long, help: help(.httpTokenFile))
    var httpTokenFile: [String] = []
    @Option(name: .long, help: help(.adminSocket))
    var adminSocket: [String] = []
    @Option(name: .long, help: help(.otlpEndpoint))
    var otlpEndpoint: [String] = []
    @Option(name: .customLong("otlp-ca-file"), help: help(.otlpCAFile))
    var otlpCAFile: [String] = []
    @Option(name: .long, help: help(.otlpInterval))
    var otlpInterval: [String] = []
    @Option(name: .long, help: help(.logLevel))
    var logLevel: [String] = []
    @Option(name: .long, help: help(.logFormat))
    var logFormat: [String] = []
    @Option(name: .long, help: help(.watchConfig))
    var watchConfig: [String] = []
    @Option(name: .long, help: help(.alternateServer))
    var alternateServer: [String] = []
    @Option(name: .long, help: help(.drainTimeout))
    var drainTimeout: [String] = []
    @Flag(name: .long, help: help(.demo))
    var demo = false

    /// What was said, by key; keys that were not named are absent.
    var values: [OptionKey: [String]] {
        let given: [OptionKey: [String]] = [
            .listen: listen, .relayAddress: relayAddress, .externalAddress: externalAddress, .relayPorts: relayPorts,
            .realm: realm, .user: user, .authSecret: authSecret, .authSecretFile: authSecretFile,
            .peerProfile: peerProfile, .allowPeer: allowPeer, .denyPeer: denyPeer,
            .allocationsPerUser: allocationsPerUser, .allocationsTotal: allocationsTotal,
            .permissionsPerAllocation: permissionsPerAllocation, .channelsPerAllocation: channelsPerAllocation,
            .newPeerRate: newPeerRate, .allocationRate: allocationRate, .allocationPacketRate: allocationPacketRate,
            .userRate: userRate, .userPacketRate: userPacketRate,
            .unauthenticatedRate: unauthenticatedRate, .nonceLifetime: nonceLifetime, .dataPlane: dataPlane,
            .xdpInterface: xdpInterface, .xdpMode: xdpMode, .xdpNextHop: xdpNextHop, .xdpRoutes: xdpRoutes,
            .xdpSlowPath: xdpSlowPath, .offloads: offloads, .ioUringFeatures: ioUringFeatures,
            .httpTokenFile: httpTokenFile, .adminSocket: adminSocket, .workers: workers,
            .receiveBuffer: receiveBuffer, .sendBuffer: sendBuffer, .http: http,
            .otlpEndpoint: otlpEndpoint, .otlpCAFile: otlpCAFile, .otlpInterval: otlpInterval,
            .logLevel: logLevel, .logFormat: logFormat, .watchConfig: watchConfig, .alternateServer: alternateServer,
            .drainTimeout: drainTimeout,
            .rfc5766ChannelNumbers: rfc5766ChannelNumbers ? ["true"] : [], .fallback: fallback ? ["true"] : [],
            .demo: demo ? ["true"] : [],
        ]
        return given.filter { !$0.value.isEmpty }
    }

    private static func help(_ key: OptionKey) -> ArgumentHelp {
        let shown = key.shape == .flag ? "" : key.defaultText.map { " (default: \($0))" } ?? ""
        return ArgumentHelp(
            "\(key.summary)\(shown)", valueName: key.shape == .list ? "value, repeatable" : "value")
    }
}
