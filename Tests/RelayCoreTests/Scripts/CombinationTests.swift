import STUN
import Testing

@testable import RelayCore

/// Every combination of the attributes of Allocate that depend on each other, on every kind of relay.
@Suite("Combinations in Allocate")
struct CombinationTests {
    /// What RFC 8656 section 7.2 grants.
    struct Grant: Equatable, CustomStringConvertible {
        var families: [AddressFamily] = []
        var isEven = false
        var hasToken = false
        /// ADDRESS-ERROR-CODE as it is written in the lines.
        var missing: String?
        var error: UInt16?

        var description: String { "\(families) even:\(isEven) token:\(hasToken) \(missing ?? "") \(error ?? 0)" }
    }

    /// The tokens that a request may carry.
    enum Token: CaseIterable {
        case none, good, wrong
    }

    struct Wish: CustomStringConvertible {
        let family: UInt8?
        let additional: UInt8?
        /// The R bit.
        let evenPort: Bool?
        let token: Token

        static let all: [Wish] = {
            let families: [UInt8?] = [nil, 0, 1, 2, 3]
            var wishes: [Wish] = []
            for family in families {
                for additional in families {
                    for evenPort in [nil, false, true] as [Bool?] {
                        wishes += Token.allCases.map {
                            Wish(family: family, additional: additional, evenPort: evenPort, token: $0)
                        }
                    }
                }
            }
            return wishes
        }()

        func fields(_ good: UInt64) -> [Field] {
            var fields = [Field.udp]
            if let family { fields.append(.family(family)) }
            if let additional { fields.append(.additional(additional)) }
            if let evenPort { fields.append(.evenPort(reserving: evenPort)) }
            if token != .none { fields.append(.token(token == .good ? good : good ^ 1)) }
            return fields
        }

        var description: String {
            "family \(family ?? 255) additional \(additional ?? 255) even \(evenPort.map { "\($0)" } ?? "-") \(token)"
        }

        /// The rules in the RFC's order; `relay` is what the relay has.
        func expected(_ relay: [AddressFamily]) -> Grant {
            if token != .none {
                if family != nil || additional != nil || evenPort != nil { return Grant(error: 400) }
                return token == .good ? Grant(families: [relay[0]]) : Grant(error: 508)
            }
            if family != nil, additional != nil { return Grant(error: 400) }
            if additional != nil, evenPort == true { return Grant(error: 400) }
            if let additional, additional != 2 { return Grant(error: 400) }
            let isEven = evenPort != nil
            if additional != nil {
                let missing = relay == [.ipv4] ? "family2=440" : relay == [.ipv6] ? "family1=440" : nil
                return Grant(families: relay, isEven: isEven, missing: missing)
            }
            guard let wanted = AddressFamily(rawValue: family ?? 1), relay.contains(wanted) else {
                return Grant(error: 440)
            }
            return Grant(families: [wanted], isEven: isEven, hasToken: evenPort == true)
        }
    }

    @Test("675 combinations: success or the right error, the right sockets, and nothing left behind")
    func all() {
        let v4 = Configuration.script.with { $0.relayAddresses.removeLast() }
        let v6 = Configuration.script.with { $0.relayAddresses.removeFirst() }
        for (configuration, families) in [
            (v4, [.ipv4]), (v6, [.ipv6]), (.script, [.ipv4, .ipv6]),
        ] as [(Configuration, [AddressFamily])] {
            for wish in Wish.all {
                #expect(granted(wish, configuration, families[0]) == wish.expected(families), "\(wish) \(families)")
            }
        }
    }

    private func granted(_ wish: Wish, _ configuration: Configuration, _ first: AddressFamily) -> Grant {
        let relay = Relay(configuration)
        let holder = Client.greeted(relay, "198.51.100.9:1")
        if wish.token != .none {
            holder.allocate(.family(first.rawValue), .evenPort(reserving: true))
        }
        let before = Set(relay.sockets.values)
        let client = Client.greeted(relay, "198.51.100.1:5000")
        let seen = client.deliver(client.request(.allocate, wish.fields(relay.latestToken ?? 0)))
        let sockets = relay.sockets.values.filter { !before.contains($0) }

        guard let answer = relay.sent.first, relay.sent.count == 1,
            let reader = MessageReader(answer.bytes, key: client.credentials.key)
        else { return Grant(error: 0) }
        let isClaim = wish.token == .good
        let grant = Grant(
            families: sockets.map(\.family).sorted { $0.rawValue < $1.rawValue },
            isEven: wish.evenPort != nil && !sockets.isEmpty && sockets.allSatisfy { $0.port % 2 == 0 },
            hasToken: reader.token != nil,
            missing: reader.text.split(separator: " ").first { $0.hasPrefix("family") }.map { "\($0)" },
            error: reader.errorCode)
        #expect(sockets.allSatisfy { reader.text.contains("relayed=\($0)") })
        #expect(sockets.isEmpty == (reader.errorCode != nil), "\(seen)")
        #expect(!isClaim || sockets.isEmpty || sockets[0].port % 2 == 1)

        client.refresh(.lifetime(0))
        holder.refresh(.lifetime(0))
        _ = relay.pass(seconds: 3601)
        #expect(relay.isEmpty && relay.host.bound.isEmpty, "\(wish)")
        return grant
    }
}
