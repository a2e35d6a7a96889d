import STUN

/// A client as a listener sees it: RFC 8656's five-tuple, the protocol being UDP.
struct ClientKey: FlatKey, Hashable, Sendable {
    let client: TransportAddress
    let listener: SocketSlot

    @inline(__always)
    func hash(seed: UInt64) -> UInt64 {
        flatHash(client.ip, UInt64(client.port) | UInt64(listener.index) << 32, seed: seed)
    }
}

/// A channel of a client.
struct ChannelKey: FlatKey, Hashable, Sendable {
    let client: TransportAddress
    let listener: SocketSlot
    let channel: UInt16

    @inline(__always)
    func hash(seed: UInt64) -> UInt64 {
        let word = UInt64(client.port) | UInt64(channel) << 16 | UInt64(listener.index) << 32
        return flatHash(client.ip, word, seed: seed)
    }
}

/// A peer's transport address at a relayed transport address.
struct PeerKey: FlatKey, Hashable, Sendable {
    // The address comes first so that the key takes 24 bytes, not 28.
    let peer: TransportAddress
    let relay: SocketSlot

    @inline(__always)
    init(relay: SocketSlot, peer: TransportAddress) {
        self.peer = peer
        self.relay = relay
    }

    @inline(__always)
    func hash(seed: UInt64) -> UInt64 {
        flatHash(peer.ip, UInt64(peer.port) | UInt64(relay.index) << 32, seed: seed)
    }
}

/// A permission, RFC 8656 section 9: a peer's address at a relayed transport address, whatever its port.
struct PermissionKey: FlatKey, Hashable, Sendable {
    // The address comes first so that the key takes 24 bytes, not 32.
    let peer: IPAddress
    let relay: SocketSlot

    @inline(__always)
    init(relay: SocketSlot, peer: IPAddress) {
        self.peer = peer
        self.relay = relay
    }

    @inline(__always)
    func hash(seed: UInt64) -> UInt64 {
        flatHash(peer, UInt64(relay.index) << 32, seed: seed)
    }
}

/// A keyed hash of an address and 64 more bits: two full-width products, each folded to 64 bits, and a third of both.
///
/// Every factor of the first two carries a secret, so no choice of address or port makes a product vanish or repeat
/// for whoever does not know `seed`; the two do not wait for each other. The third spreads addresses that differ in
/// high bits only: a single product would space those out evenly, which in a table means in clusters.
@inline(__always)
func flatHash(_ ip: IPAddress, _ word: UInt64, seed: UInt64) -> UInt64 {
    let turned = seed << 23 | seed >> 41
    // The high half of an IPv4 address is zero; all ones keeps 192.0.2.1 apart from ::192.0.2.1.
    let high = ip.family == .ipv4 ? UInt64.max : ip.high
    let lowProduct = foldedProduct(ip.low ^ seed ^ 0x9E37_79B9_7F4A_7C15, word ^ turned ^ 0xBF58_476D_1CE4_E5B9)
    let highProduct = foldedProduct(high ^ turned ^ 0x94D0_49BB_1331_11EB, seed ^ 0xD6E8_FEB8_6659_FD93)
    return foldedProduct(lowProduct ^ highProduct, 0xA076_1D64_78BD_642F)
}

/// The two halves of a 128-bit product, combined.
@inline(__always)
private func foldedProduct(_ left: UInt64, _ right: UInt64) -> UInt64 {
    let product = left.multipliedFullWidth(by: right)
    return product.high ^ product.low
}
