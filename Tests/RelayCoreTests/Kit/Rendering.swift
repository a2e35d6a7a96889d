import STUN

@testable import RelayCore

func hex(_ value: UInt16) -> String { "0x" + String(value, radix: 16) }

/// A message in words: class, method, every attribute in order, and whether its signature is right.
struct MessageReader {
    let text: String
    private(set) var nonce: [UInt8]?
    private(set) var token: UInt64?
    private(set) var errorCode: UInt16?

    /// Nothing for bytes that are no message.
    init?(_ bytes: [UInt8], key: IntegrityKey?) {
        guard Message.looksLikeSTUN(bytes.span.bytes), let message = try? Message(parsing: bytes.span.bytes) else {
            return nil
        }
        var words = [Self.name(message.messageClass, message.method)]
        var attributes = message.attributes
        while let attribute = attributes.next() {
            switch attribute.type {
            case .nonce: nonce = attribute.value.copyBytes()
            case .reservationToken: token = attribute.reservationToken
            case .errorCode: errorCode = attribute.errorCode
            default: break
            }
            words.append(Self.describe(attribute, message, key))
        }
        text = words.joined(separator: " ")
    }

    private static func name(_ messageClass: MessageClass, _ method: STUN.Method) -> String {
        let methods: [STUN.Method: String] = [
            .binding: "binding", .allocate: "allocate", .refresh: "refresh", .createPermission: "permission",
            .channelBind: "channel", .data: "data",
        ]
        let name = methods[method] ?? "method \(method.rawValue)"
        return messageClass == .successResponse ? "\(name) success" : name
    }

    private static func describe(
        _ attribute: borrowing Attribute, _ message: borrowing Message, _ key: IntegrityKey?
    )
        -> String
    {
        let type = attribute.type
        switch type {
        case .xorMappedAddress: return "mapped=" + show(attribute.xorAddress(message.transactionID))
        case .xorRelayedAddress: return "relayed=" + show(attribute.xorAddress(message.transactionID))
        case .xorPeerAddress: return "peer=" + show(attribute.xorAddress(message.transactionID))
        case .alternateServer: return "alternate=" + show(attribute.address)
        case .lifetime: return "lifetime=" + show(attribute.uint32)
        case .errorCode: return show(attribute.errorCode)
        case .addressErrorCode:
            return "family\(show(attribute.addressErrorFamilyByte))=" + show(attribute.errorCode)
        case .realm: return "realm=" + String(decoding: attribute.value.copyBytes(), as: UTF8.self)
        case .nonce: return "nonce"
        case .reservationToken: return "token"
        case .passwordAlgorithms: return "algorithms"
        case .unknownAttributes:
            return "unknown=" + (attribute.unknownAttributes ?? []).map { hex($0.rawValue) }.joined(separator: ",")
        case .data: return "data=" + String(decoding: attribute.value.copyBytes(), as: UTF8.self)
        case .icmp: return "icmp=" + (attribute.icmp.map { "\($0.type)/\($0.code)/\($0.data)" } ?? "malformed")
        case .messageIntegrity, .messageIntegritySHA256:
            let kind: IntegrityKind = type == .messageIntegrity ? .sha1 : .sha256
            guard let key else { return "signed-\(kind)-for-whom" }
            return message.hasValidIntegrity(kind, key: key) ? "signed-\(kind)" : "signed-\(kind)-wrongly"
        default: return "attribute-" + hex(type.rawValue)
        }
    }

    private static func show<Value>(_ value: Value?) -> String { value.map { "\($0)" } ?? "malformed" }
}

/// A lease or a delta in words, times as seconds from now.
func describe(_ delta: RouteDelta, at now: Instant) -> String {
    switch delta {
    case .install(let route):
        "install #\(route.id.index) \(route.client) \(route.server) \(hex(route.channel.rawValue)) "
            + "\(route.relay) \(route.peer) \(seconds(from: now, to: route.until))"
    case .renew(let id, let until): "renew #\(id.index) \(seconds(from: now, to: until))"
    case .remove(let id): "remove #\(id.index)"
    case .meter(let id, let meters): "meter #\(id.index) \(describe(meters.allocation)) \(describe(meters.user))"
    }
}

private func describe(_ meter: RouteMeter?) -> String {
    guard let meter else { return "-" }
    return "\(meter.id.rawValue):\(meter.limit.bitsPerSecond)bit,\(meter.limit.packetsPerSecond)p"
}

private func seconds(from now: Instant, to later: Instant) -> String {
    let milliseconds = (Int64(later.nanoseconds) - Int64(now.nanoseconds)) / 1_000_000
    return milliseconds % 1000 == 0 ? "\(milliseconds / 1000)s" : "\(milliseconds)ms"
}

func describe(_ note: Note) -> String {
    switch note {
    case .allocationCreated(let summary, let lifetimeSeconds):
        "note created \(describe(summary)) \(lifetimeSeconds)s"
    case .allocationEnded(let summary, let reason, let traffic, let ageSeconds):
        "note \(reason) \(describe(summary)) \(ageSeconds)s \(describe(traffic.total))"
    case .peerDenied(let client, let username, let peer, let rule):
        "note denied \(client) \(username) \(peer) \(rule)"
    case .quotaReached(let client, let username, let quota): "note quota \(client) \(username) \(quota.rawValue)"
    case .portsExhausted(let family): "note exhausted \(family)"
    case .relayRefused(let address, let reason): "note refused \(address) \(reason)"
    }
}

private func describe(_ summary: AllocationSummary) -> String {
    let relayed = summary.relayed.map { "\($0)" }.joined(separator: ",")
    return "\(summary.client) \(summary.server) \(summary.username) \(relayed)"
}

/// Packets and bytes to peers, packets and bytes to the client.
func describe(_ traffic: AllocationTraffic) -> String {
    "\(traffic.packetsToPeers)/\(traffic.bytesToPeers) \(traffic.packetsToClient)/\(traffic.bytesToClient)"
}
