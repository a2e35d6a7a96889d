import PlaneTestKit
import ReferenceRelay
import STUN

/// RFC 8656 section 14 field by field: what leaves when a packet with this field comes in.
enum HeaderCases {
    /// One way through the relay.
    struct Way: Sendable {
        let families: RelayStage.Families
        let isUp: Bool

        var arriving: AddressFamily { isUp ? families.client : families.peer }
        var leaving: AddressFamily { isUp ? families.peer : families.client }
        var name: String {
            isUp
                ? "\(arriving.short) channel to \(leaving.short) peer"
                : "\(arriving.short) peer to \(leaving.short) channel"
        }
    }

    private static let ways = RelayStage.Families.all.flatMap { families in
        [true, false].map { Way(families: families, isUp: $0) }
    }

    static let all = ways.flatMap { way in
        [
            timeToLive(way), lastHop(way), trafficClass(way), dontFragment(way, isSet: true), noChecksum(way),
            corrupt(way),
        ]
        .compactMap(\.self)
            + [
                dontFragment(way, isSet: false), identification(way), translatedDontFragment(way, byteCount: 4),
                translatedDontFragment(way, byteCount: 1300), translatedIdentification(way), flowLabel(way),
            ]
            .compactMap(\.self)
    }

    // MARK: Fields

    private static func timeToLive(_ way: Way) -> EquivalenceCase? {
        make("TTL or hop limit of 50", way, .differs(kernel: "49", sockets: "64, the host's default")) { frame in
            frame.timeToLive = 50
        } read: { seen in
            seen.map { $0.timeToLive == 64 ? "64, the host's default" : "\($0.timeToLive)" } ?? "nothing arrives"
        }
    }

    private static func lastHop(_ way: Way) -> EquivalenceCase? {
        make(
            "TTL or hop limit of 1", way,
            .differs(kernel: "dropped, as a router does", sockets: "64, the host's default")
        ) { frame in
            frame.timeToLive = 1
        } read: { seen in
            seen.map { $0.timeToLive == 64 ? "64, the host's default" : "\($0.timeToLive)" }
                ?? "dropped, as a router does"
        }
    }

    private static func trafficClass(_ way: Way) -> EquivalenceCase? {
        make("DSCP and ECN", way, .same("carried across")) { frame in
            frame.trafficClass = 0xBA
        } read: { seen in
            seen.map { $0.trafficClass == 0xBA ? "carried across" : "\($0.trafficClass)" } ?? "nothing arrives"
        }
    }

    private static func dontFragment(_ way: Way, isSet: Bool) -> EquivalenceCase? {
        guard way.leaving == .ipv4, way.arriving == .ipv4 else { return nil }
        let (field, kernel) = isSet ? ("DF set", "set") : ("DF clear", "clear")
        return make(field, way, isSet ? .differs(kernel: kernel, sockets: "clear") : .same("clear")) { frame in
            frame.dontFragment = isSet
        } read: { seen in
            describeDontFragment(seen)
        }
    }

    private static func describeDontFragment(_ seen: ObservedDatagram?) -> String {
        seen.map { $0.dontFragment ? "set" : "clear" } ?? "nothing arrives"
    }

    private static func identification(_ way: Way) -> EquivalenceCase? {
        guard way.leaving == .ipv4, way.arriving == .ipv4 else { return nil }
        return make(
            "IPv4 identification", way, .differs(kernel: "carried across", sockets: "the host's own")
        ) { frame in
            frame.identification = 0x1234
        } read: { seen in
            seen.map { $0.identification == 0x1234 ? "carried across" : "the host's own" } ?? "nothing arrives"
        }
    }

    /// IPv6 has no DF: RFC 7915 section 5.1 says what stands for it.
    private static func translatedDontFragment(_ way: Way, byteCount: Int) -> EquivalenceCase? {
        guard way.leaving == .ipv4, way.arriving == .ipv6 else { return nil }
        let isLarge = byteCount > 1260
        return make(
            "DF of \(byteCount) bytes out of IPv6", way,
            isLarge ? .differs(kernel: "set", sockets: "clear") : .same("clear"),
            payload: [UInt8](repeating: 7, count: byteCount)
        ) { _ in
        } read: { seen in
            describeDontFragment(seen)
        }
    }

    private static func translatedIdentification(_ way: Way) -> EquivalenceCase? {
        guard way.leaving == .ipv4, way.arriving == .ipv6 else { return nil }
        return make(
            "IPv4 identification out of IPv6", way, .differs(kernel: "the UDP checksum", sockets: "the host's own")
        ) { _ in
        } read: { seen in
            seen.map { $0.identification == $0.checksum ? "the UDP checksum" : "the host's own" } ?? "nothing arrives"
        }
    }

    private static func flowLabel(_ way: Way) -> EquivalenceCase? {
        guard way.leaving == .ipv6 else { return nil }
        return make("flow label", way, .same("one of the relay's own flow")) { frame in
            frame.flowLabel = 0x12345
        } read: { seen in
            guard let seen else { return "nothing arrives" }
            return seen.flowLabel != 0 && seen.flowLabel != 0x12345
                ? "one of the relay's own flow" : "\(seen.flowLabel)"
        }
    }

    private static func noChecksum(_ way: Way) -> EquivalenceCase? {
        guard way.arriving == .ipv4 else { return nil }
        let sockets = "computed"
        return make(
            "no UDP checksum", way,
            way.leaving == .ipv4 ? .differs(kernel: "none", sockets: sockets) : .same(sockets)
        ) { frame in
            frame.hasChecksum = false
        } read: { seen in
            guard let seen else { return "nothing arrives" }
            return seen.checksum == 0 ? "none" : seen.isChecksumRight ? sockets : "wrong"
        }
    }

    private static func corrupt(_ way: Way) -> EquivalenceCase? {
        make(
            "a corrupt payload", way,
            .differs(kernel: "arrives, still detectably corrupt", sockets: "dropped by the host")
        ) { frame in
            frame.udpError = 0x0101
        } read: { seen in
            guard let seen else { return "dropped by the host" }
            return seen.isChecksumRight ? "arrives as if it were whole" : "arrives, still detectably corrupt"
        }
    }

    // MARK: One packet through the relay

    private static func make(
        _ field: String, _ way: Way, _ expects: EquivalenceCase.Expectation, payload: [UInt8] = [1, 2, 3, 4],
        _ vary: @escaping @Sendable (inout Frame) -> Void,
        read: @escaping @Sendable (ObservedDatagram?) -> String
    ) -> EquivalenceCase? {
        EquivalenceCase(subject: field, way: way.name, rule: "RFC 8656 section 14", expects: expects) { stage in
            read(try pass(payload, way, stage, vary))
        }
    }

    /// What arrives at the far side; nothing if a good packet that was sent behind it arrives alone.
    private static func pass(
        _ marked: [UInt8], _ way: Way, _ stage: RelayStage, _ vary: (inout Frame) -> Void
    ) throws -> ObservedDatagram? {
        let session = try stage.session(way.families)
        let (near, watch) = way.isUp ? (stage.clients, stage.peerWatch) : (stage.peers, stage.clientWatch)
        let (from, to, at) =
            way.isUp
            ? (session.client.socket.address, session.client.server, session.peer.address)
            : (session.peer.address, session.relayed, session.client.socket.address)
        var frame = Frame(from: from, to: to, data: way.isUp ? channelData(StageSession.channel, marked) : marked)
        vary(&frame)
        watch.forget()
        let sender = try near.inside { try RawSender(from: from.ip) }
        try sender.send(Array(frame.bytes[14...]), to: to.ip)
        let follower: [UInt8] = [5, 6, 7, 8]
        if way.isUp {
            session.client.say(follower, on: StageSession.channel)
        } else {
            session.peer.send(follower, to: session.relayed)
        }
        let expected = way.isUp ? marked : channelData(StageSession.channel, marked)
        var seen = [watch.datagram(to: at)].compactMap(\.self)
        // What takes the slow path may be overtaken by what the kernel forwards.
        if let next = watch.datagram(to: at, waitMilliseconds: 100) { seen.append(next) }
        // Both sockets have heard what the watch saw.
        _ = session.peer.receiveAll()
        while session.client.hear(waitMilliseconds: 0) != nil {}
        return seen.first { $0.payload == expected }
    }
}
