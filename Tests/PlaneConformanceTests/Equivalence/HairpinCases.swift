import PlaneTestKit
import STUN

/// Two clients of one relay that are each other's peers.
enum HairpinCases {
    static let all = AddressFamily.allCases.flatMap { one in
        AddressFamily.allCases.flatMap { two in AddressFamily.allCases.map { channels(one, two, over: $0) } }
    }

    private static func channels(
        _ one: AddressFamily, _ two: AddressFamily, over relayed: AddressFamily
    ) -> EquivalenceCase {
        EquivalenceCase(
            subject: "channel to channel between clients of one relay",
            way: "\(one.short) and \(two.short) clients, \(relayed.short) relayed addresses",
            rule: "RFC 8656 section 12", expects: .same("whole, in order")
        ) { stage in
            let clients = try [one, two].map { try StageClient(stage, $0) }
            let addresses = try clients.map { client in
                try client.allocate(relayed)
                guard let address = client.relayed else { throw StageClient.Refused(code: nil) }
                return address
            }
            try clients[0].bind(0x4000, to: addresses[1])
            try clients[1].bind(0x4001, to: addresses[0])
            let payloads = [0, 1, 2, 3, 4, 172, 1_200, 1_440].map(payload)
            var outcomes: [String] = []
            for (from, to) in [(0, 1), (1, 0)] {
                for payload in payloads { clients[from].say(payload, on: 0x4000 + UInt16(from)) }
                let got = payloads.compactMap { _ -> [UInt8]? in
                    guard case .channel(let channel, let bytes) = clients[to].hear() else { return nil }
                    return channel == 0x4000 + UInt16(to) ? bytes : nil
                }
                outcomes.append(comparison(got, payloads))
            }
            for client in clients { try client.release() }
            return outcomes[0] == outcomes[1] ? outcomes[0] : "there \(outcomes[0]), back \(outcomes[1])"
        }
    }
}
