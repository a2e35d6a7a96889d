import PlaneTestKit
import STUN

/// Who may send what to whom, and what is heard of errors.
enum PermissionCases {
    static let all =
        [stranger, otherClientsChannel, unboundChannel, noPermission, released]
        + RelayStage.Families.all.flatMap { [unreachable($0), unreachableByIndication($0)] }

    private static let ipv4 = RelayStage.Families(client: .ipv4, peer: .ipv4)

    private static let stranger = EquivalenceCase(
        subject: "a datagram of a peer without permission", rule: "RFC 8656 section 9", expects: .same("dropped")
    ) { stage in
        let session = try stage.session(ipv4)
        // Another host as far as permissions go: the relay's own side of the wire.
        let stranger = try stage.relay.inside { try TestSocket("10.73.2.1") }
        stranger.send([1, 2, 3], to: session.relayed)
        session.peer.send([4], to: session.relayed)
        let heard = session.client.hear()
        return heard == .channel(StageSession.channel, [4])
            ? "dropped" : "the client heard \(String(describing: heard))"
    }

    private static let otherClientsChannel = EquivalenceCase(
        subject: "channel data from an address without an allocation", rule: "RFC 8656 section 12.6",
        expects: .same("dropped")
    ) { stage in
        let session = try stage.session(ipv4)
        let other = try StageClient(stage, .ipv4)
        other.say([9, 9, 9], on: StageSession.channel)
        return try dropped(session)
    }

    private static let unboundChannel = EquivalenceCase(
        subject: "channel data on a number that is not bound", rule: "RFC 8656 section 12.6", expects: .same("dropped")
    ) { stage in
        let session = try stage.session(ipv4)
        session.client.say([9, 9, 9], on: 0x4FFF)
        return try dropped(session)
    }

    private static let noPermission = EquivalenceCase(
        subject: "a Send indication to a peer without permission", rule: "RFC 8656 section 11.2",
        expects: .same("dropped")
    ) { stage in
        let client = try StageClient(stage, .ipv4)
        try client.allocate(.ipv4)
        let peer = try stage.socket(in: stage.peers, .ipv4)
        client.indicate([1], to: peer.address)
        try client.permit(peer.address)
        client.indicate([2], to: peer.address)
        let heard = peer.receive()?.bytes
        try client.release()
        return heard == [2] ? "dropped" : "the peer got \(String(describing: heard))"
    }

    private static let released = EquivalenceCase(
        subject: "data after the allocation was released, both ways", rule: "RFC 8656 section 7.2",
        expects: .same("dropped")
    ) { stage in
        let session = try StageSession(stage, ipv4)
        try session.client.release()
        session.client.say([1], on: StageSession.channel)
        session.peer.send([2], to: session.relayed)
        // Another client's data passes through the same sockets behind it.
        let marker = try stage.session(ipv4)
        let outcome = try dropped(marker)
        let late = session.peer.receive(waitMilliseconds: 0) != nil || session.client.hear(waitMilliseconds: 0) != nil
        return late ? "something came" : outcome
    }

    /// ICMP errors for what a channel sent.
    private static func unreachable(_ families: RelayStage.Families) -> EquivalenceCase {
        EquivalenceCase(
            subject: "an ICMP error for channel data", way: "\(families)", rule: "RFC 8656 section 11.5",
            expects: .same("told to the client with its type, code and peer")
        ) { stage in
            let session = try StageSession(stage, families)
            let gone = try { try stage.socket(in: stage.peers, families.peer).address }()
            try session.client.bind(StageSession.channel + 1, to: gone)
            session.client.say([1, 2, 3], on: StageSession.channel + 1)
            let outcome = verdict(session.client.hear(), families.peer, gone)
            try session.client.release()
            return outcome
        }
    }

    private static func unreachableByIndication(_ families: RelayStage.Families) -> EquivalenceCase {
        EquivalenceCase(
            subject: "an ICMP error for a Send indication", way: "\(families)", rule: "RFC 8656 section 11.5",
            expects: .same("told to the client with its type, code and peer")
        ) { stage in
            let session = try StageSession(stage, families)
            let gone = try { try stage.socket(in: stage.peers, families.peer).address }()
            session.client.indicate([1, 2, 3], to: gone)
            let outcome = verdict(session.client.hear(), families.peer, gone)
            try session.client.release()
            return outcome
        }
    }

    private static func verdict(
        _ heard: StageClient.Heard?, _ family: AddressFamily, _ peer: TransportAddress
    ) -> String {
        guard case .icmp(let error, peer: peer) = heard else { return "the client heard \(String(describing: heard))" }
        let expected: (UInt8, UInt8) = family == .ipv4 ? (3, 3) : (1, 4)
        return (error.type, error.code) == expected
            ? "told to the client with its type, code and peer" : "type \(error.type), code \(error.code)"
    }
}
