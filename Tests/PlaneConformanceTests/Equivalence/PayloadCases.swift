import PlaneTestKit
import STUN

/// Payloads of every size, by channels and by indications, up and down.
enum PayloadCases {
    /// To the largest that a frame of the wires carries over IPv6 with a channel's header: 1,500 - 40 - 8 - 4.
    private static let sizes = [0, 1, 2, 3, 4, 5, 7, 8, 64, 172, 1_200, 1_447, 1_448]
    /// What travels in fragments; the last is the largest that a UDP datagram over IPv4 carries behind a channel's header.
    private static let largeSizes = [1_449, 1_469, 1_473, 4_000, 20_000, 65_503]
    /// What fits into an indication of one datagram.
    private static let indicationSizes = [0, 1, 2, 3, 4, 172, 1_200, 1_400]

    static let all =
        RelayStage.Families.all.flatMap { [up($0), down($0), largeUp($0), largeDown($0), send($0), data($0)] }
        + [padding, surplus, shortLength]

    private static func up(_ families: RelayStage.Families) -> EquivalenceCase {
        EquivalenceCase(
            subject: "channel data of \(sizes[0]) to \(sizes[sizes.count - 1]) bytes to the peer", way: "\(families)",
            rule: "RFC 8656 section 12.6", expects: .same("whole, in order")
        ) { stage in
            let session = try stage.session(families)
            return sayAll(sizes.map(payload), session)
        }
    }

    private static func largeUp(_ families: RelayStage.Families) -> EquivalenceCase {
        EquivalenceCase(
            subject: "channel data in fragments to the peer", way: "\(families)", rule: "RFC 8656 section 12.6",
            expects: .same("whole, in order")
        ) { stage in
            let session = try stage.session(families)
            return sayAll(largeSizes.map(payload), session)
        }
    }

    private static func sayAll(_ payloads: [[UInt8]], _ session: StageSession) -> String {
        for payload in payloads { session.client.say(payload, on: StageSession.channel) }
        return comparison(payloads.compactMap { _ in session.peer.receive()?.bytes }, payloads)
    }

    private static func down(_ families: RelayStage.Families) -> EquivalenceCase {
        EquivalenceCase(
            subject: "datagrams of \(sizes[0]) to \(sizes[sizes.count - 1]) bytes to the client by channel",
            way: "\(families)",
            rule: "RFC 8656 section 12.7", expects: .same("whole, in order")
        ) { stage in try sendAll(sizes.map(payload), stage.session(families)) }
    }

    private static func largeDown(_ families: RelayStage.Families) -> EquivalenceCase {
        EquivalenceCase(
            subject: "datagrams in fragments to the client by channel", way: "\(families)",
            rule: "RFC 8656 section 12.7",
            expects: .same("whole, in order")
        ) { stage in try sendAll(largeSizes.map(payload), stage.session(families)) }
    }

    private static func sendAll(_ payloads: [[UInt8]], _ session: StageSession) throws -> String {
        for payload in payloads { session.peer.send(payload, to: session.relayed) }
        let got = payloads.compactMap { _ -> [UInt8]? in
            guard case .channel(StageSession.channel, let bytes) = session.client.hear() else { return nil }
            return bytes
        }
        return comparison(got, payloads)
    }

    private static func send(_ families: RelayStage.Families) -> EquivalenceCase {
        EquivalenceCase(
            subject: "Send indications", way: "\(families)", rule: "RFC 8656 section 11.2",
            expects: .same("whole, in order")
        ) { stage in
            let session = try stage.session(families)
            let payloads = indicationSizes.map(payload)
            for payload in payloads { session.client.indicate(payload, to: session.peer.address) }
            return comparison(payloads.compactMap { _ in session.peer.receive()?.bytes }, payloads)
        }
    }

    /// A permission without a channel: a second socket of the peer's host.
    private static func data(_ families: RelayStage.Families) -> EquivalenceCase {
        EquivalenceCase(
            subject: "Data indications from a peer without a channel", way: "\(families)",
            rule: "RFC 8656 section 11.3",
            expects: .same("whole, in order")
        ) { stage in
            let session = try stage.session(families)
            let other = try stage.socket(in: stage.peers, families.peer)
            let payloads = indicationSizes.map(payload)
            for payload in payloads { other.send(payload, to: session.relayed) }
            let got = payloads.compactMap { _ -> [UInt8]? in
                guard case .data(let bytes, from: other.address) = session.client.hear() else { return nil }
                return bytes
            }
            return comparison(got, payloads)
        }
    }

    private static let ipv4 = RelayStage.Families(client: .ipv4, peer: .ipv4)

    private static let padding = EquivalenceCase(
        subject: "padding to a multiple of four behind channel data", rule: "RFC 8656 section 12.5",
        expects: .same("left out, the payloads whole, in order")
    ) { stage in
        let session = try stage.session(ipv4)
        let payloads = (1...8).map(payload)
        for payload in payloads {
            session.client.say(payload, on: StageSession.channel, padding: (4 - payload.count % 4) % 4)
        }
        let got = payloads.compactMap { _ in session.peer.receive()?.bytes }
        return "left out, the payloads " + comparison(got, payloads)
    }

    private static let surplus = EquivalenceCase(
        subject: "more bytes behind channel data than padding", rule: "RFC 8656 section 12.5",
        expects: .same("left out, the payloads whole, in order")
    ) { stage in
        let session = try stage.session(ipv4)
        let payloads = [4, 100].map(payload)
        for payload in payloads { session.client.say(payload, on: StageSession.channel, padding: 9) }
        let got = payloads.compactMap { _ in session.peer.receive()?.bytes }
        return "left out, the payloads " + comparison(got, payloads)
    }

    private static let shortLength = EquivalenceCase(
        subject: "channel data that is shorter than it says", rule: "RFC 8656 section 12.6",
        expects: .same("dropped")
    ) { stage in
        let session = try stage.session(ipv4)
        let whole = channelData(StageSession.channel, payload(20))
        for count in [4, 10, 23] { session.client.socket.send(Array(whole.prefix(count)), to: session.client.server) }
        return try dropped(session)
    }
}

/// `dropped` when the peer hears nothing before what is sent now.
func dropped(_ session: StageSession) throws -> String {
    let mark: [UInt8] = [0xAA, 0xBB]
    session.client.say(mark, on: StageSession.channel)
    let heard = session.peer.receive()?.bytes
    return heard == mark ? "dropped" : "the peer got \(heard?.count ?? -1) bytes"
}

/// Bytes that tell their own position and the payload's size.
func payload(_ size: Int) -> [UInt8] { (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ size) } }
