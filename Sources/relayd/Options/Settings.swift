import DataPlaneIOUring
import DataPlaneXDP
import Logging
import PlaneKit
import RelayCore
import STUN

/// The effective options, typed and checked against each other.
struct Settings {
    /// Which data plane was asked for.
    enum Plane: String, CaseIterable {
        case auto, xdp
        case ioUring = "io-uring"
        case socket

        /// The plane's name, or nothing for the best one that the host allows.
        var requested: String? { self == .auto ? nil : rawValue }
    }

    /// Which plane stands below XDP.
    enum SlowPath: String, CaseIterable {
        case auto
        case ioUring = "io-uring"
        case socket

        /// The plane's name, or nothing for the one that runs, or the best that can.
        var requested: String? { self == .auto ? nil : rawValue }
    }

    /// What the kernel may do for userspace planes.
    enum Offload: String, CaseIterable {
        case gro, gso, raw, none
    }

    enum LogFormat: String, CaseIterable {
        case text, json
    }

    var listen: [TransportAddress] = []
    /// Empty: to be found on the host.
    var relayAddresses: [IPAddress] = []
    var externalAddresses: [IPAddress] = []
    var relayPorts: ClosedRange<UInt16> = 49152...65535
    var realm = "relayd"
    var users: [StaticUser] = []
    var authSecrets: [String] = []
    var peerProfile = PeerProfile.public
    var allowPeers: [CIDR] = []
    var denyPeers: [CIDR] = []
    var allocationsPerUser = 100
    var allocationsTotal = 0
    var permissionsPerAllocation = 128
    var channelsPerAllocation = 0
    var newPeerRate = PeerRate.none
    var allocationRate = RateLimit.none
    var userRate = RateLimit.none
    var unauthenticatedRate = 500
    var nonceLifetimeSeconds: UInt32 = 600
    var acceptsRFC5766ChannelNumbers = false
    var plane = Plane.auto
    /// Whether another plane may start in the place of the one that was asked for.
    var fallsBack = false
    /// Empty: those that carry the relay's addresses.
    var xdpInterfaces: [String] = []
    var xdpMode = XDPOptions.Mode.native
    var xdpNextHop = XDPOptions.NextHop.fib
    var xdpRoutes = 16_384
    var xdpSlowPath = SlowPath.auto
    var offloadNames: [Offload] = [.gro, .gso, .raw]
    var ringFeatures: RingFeatures = []
    /// Nothing: one a CPU.
    var workers: Int?
    var receiveBufferBytes = 1 << 20
    var sendBufferBytes = 1 << 20
    var http: TransportAddress?
    var httpToken: String?
    var adminSocketPath: String?
    /// Where metrics are sent; nothing: nowhere.
    var otlpEndpoint: OTLPEndpoint?
    /// Certificates in PEM of those who may vouch for the collector; nothing: those that the host trusts.
    var otlpAuthorities: String?
    var otlpIntervalSeconds: UInt32 = 15
    var logLevel = Logger.Level.info
    var logFormat = LogFormat.text
    var watchesConfig = true
    var alternateServers: [TransportAddress] = []
    var drainTimeoutSeconds: UInt32 = 3600
    var isDemo = false

    /// Reads every key; all problems are collected, not only the first.
    static func read(_ layers: OptionLayers) -> (settings: Settings, problems: [OptionProblem]) {
        var reader = SettingsReader(layers)
        var settings = Settings()
        settings.readAddresses(&reader)
        settings.readCredentials(&reader)
        settings.readPolicy(&reader)
        settings.readOperation(&reader)
        reader.problems += settings.contradictions()
        return (settings, reader.problems)
    }

    private mutating func readAddresses(_ reader: inout SettingsReader) {
        listen = reader.list(.listen) { TransportAddress($0) }
        relayAddresses = reader.list(.relayAddress) { IPAddress($0) }
        externalAddresses = reader.list(.externalAddress) { IPAddress($0) }
        relayPorts = reader.value(.relayPorts, relayPorts, Self.ports)
        readAdministration(&reader)
        isDemo = reader.value(.demo, false) { Bool($0) }
        if listen.isEmpty, !isDemo {
            listen = [
                TransportAddress(IPAddress(v4: 0), port: 3478),
                TransportAddress(IPAddress(v6High: 0, low: 0), port: 3478),
            ]
        }
    }

    private mutating func readCredentials(_ reader: inout SettingsReader) {
        realm = reader.value(.realm, realm) { (1...127).contains($0.utf8.count) ? $0 : nil }
        users = reader.list(.user) { text in
            guard let colon = text.firstIndex(of: ":"), colon != text.startIndex else { return nil }
            let password = text[text.index(after: colon)...]
            return password.isEmpty ? nil : StaticUser(name: String(text[..<colon]), password: String(password))
        }
        authSecrets = reader.list(.authSecret) { $0.isEmpty ? nil : $0 }
        guard let path = reader.value(.authSecretFile, nil, { $0.isEmpty ? nil : $0 }) else { return }
        do throws(OptionProblem) {
            authSecrets += try SecretFile.read(path, for: .authSecretFile)
        } catch {
            reader.problems.append(error)
        }
    }

    private mutating func readAdministration(_ reader: inout SettingsReader) {
        http = reader.value(.http, nil) { TransportAddress($0) }
        // sun_path of sockaddr_un with its final zero.
        adminSocketPath = reader.value(.adminSocket, nil) { path in
            path.hasPrefix("/") && path.utf8.count < 108 ? path : nil
        }
        guard let path = reader.value(.httpTokenFile, nil, { $0.isEmpty ? nil : $0 }) else { return }
        do throws(OptionProblem) {
            httpToken = try SecretFile.read(path, for: .httpTokenFile).first
        } catch {
            reader.problems.append(error)
        }
    }

    private mutating func readPolicy(_ reader: inout SettingsReader) {
        peerProfile = reader.value(.peerProfile, peerProfile) { PeerProfile(rawValue: $0) }
        allowPeers = reader.list(.allowPeer, Self.network)
        denyPeers = reader.list(.denyPeer, Self.network)
        allocationsPerUser = reader.number(.allocationsPerUser, allocationsPerUser, in: 0...1_000_000)
        allocationsTotal = reader.number(.allocationsTotal, allocationsTotal, in: 0...1_000_000)
        permissionsPerAllocation = reader.number(
            .permissionsPerAllocation, permissionsPerAllocation, in: 0...1_000_000)
        channelsPerAllocation = reader.number(.channelsPerAllocation, channelsPerAllocation, in: 0...1_000_000)
        newPeerRate = reader.value(.newPeerRate, newPeerRate) { PeerRate($0) }
        allocationRate = reader.rate(.allocationRate, .allocationPacketRate)
        userRate = reader.rate(.userRate, .userPacketRate)
        unauthenticatedRate = reader.number(.unauthenticatedRate, unauthenticatedRate, in: 0...1_000_000)
        nonceLifetimeSeconds = reader.seconds(.nonceLifetime, nonceLifetimeSeconds, in: 60...28_800)
        acceptsRFC5766ChannelNumbers = reader.value(.rfc5766ChannelNumbers, false) { Bool($0) }
    }

    private mutating func readOperation(_ reader: inout SettingsReader) {
        plane = reader.value(.dataPlane, plane) { Plane(rawValue: $0) }
        fallsBack = reader.value(.fallback, false) { Bool($0) }
        // IFNAMSIZ with its final zero.
        xdpInterfaces = reader.list(.xdpInterface) { (1...15).contains($0.utf8.count) ? $0 : nil }
        xdpMode = reader.value(.xdpMode, xdpMode) { XDPOptions.Mode(rawValue: $0) }
        xdpNextHop = reader.value(.xdpNextHop, xdpNextHop) { XDPOptions.NextHop(rawValue: $0) }
        xdpRoutes = reader.number(.xdpRoutes, xdpRoutes, in: 1...1_048_576)
        xdpSlowPath = reader.value(.xdpSlowPath, xdpSlowPath) { SlowPath(rawValue: $0) }
        let named = reader.list(.offloads) { Offload(rawValue: $0) }
        if !named.isEmpty { offloadNames = named }
        ringFeatures = RingFeatures(reader.list(.ioUringFeatures) { RingFeatures(named: $0) })
        workers = reader.value(.workers, nil) { text in Int(text).flatMap { (1...256).contains($0) ? $0 : nil } }
        receiveBufferBytes = reader.bytes(.receiveBuffer, receiveBufferBytes, in: 4096...(1 << 30))
        sendBufferBytes = reader.bytes(.sendBuffer, sendBufferBytes, in: 4096...(1 << 30))
        otlpEndpoint = reader.value(.otlpEndpoint, nil) { OTLPEndpoint($0) }
        readAuthorities(&reader)
        otlpIntervalSeconds = reader.seconds(.otlpInterval, otlpIntervalSeconds, in: 1...3600)
        logLevel = reader.value(.logLevel, logLevel) { Logger.Level(rawValue: $0) }
        logFormat = reader.value(.logFormat, logFormat) { LogFormat(rawValue: $0) }
        watchesConfig = reader.value(.watchConfig, watchesConfig) { Bool($0) }
        alternateServers = reader.list(.alternateServer) { TransportAddress($0) }
        drainTimeoutSeconds = reader.seconds(.drainTimeout, drainTimeoutSeconds, in: 0...604_800)
    }

    private mutating func readAuthorities(_ reader: inout SettingsReader) {
        guard let path = reader.value(.otlpCAFile, nil, { $0.isEmpty ? nil : $0 }) else { return }
        do throws(OptionProblem) {
            otlpAuthorities = try CertificateFile.read(path, for: .otlpCAFile)
        } catch {
            reader.problems.append(error)
        }
    }

    /// What the userspace planes may use.
    var offloads: Offloads {
        Offloads(
            receive: offloadNames.contains(.gro), segmentation: offloadNames.contains(.gso),
            rawSending: offloadNames.contains(.raw))
    }

    /// `49152-65535`.
    private static func ports(_ text: String) -> ClosedRange<UInt16>? {
        let ends = text.split(separator: "-", omittingEmptySubsequences: false).map { UInt16($0) }
        guard ends.count == 2, let low = ends[0], let high = ends[1], low > 0, low <= high else { return nil }
        return low...high
    }

    /// The reader of ``SettingsReader/list(_:_:)`` has its own words for what a network may be; these say more.
    private static func network(_ text: String) throws(OptionProblem) -> CIDR {
        do throws(CIDRError) {
            return try CIDR(text)
        } catch {
            throw OptionProblem(error.description)
        }
    }
}
