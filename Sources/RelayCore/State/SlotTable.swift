import STUN

/// What each socket slot is to the core.
struct SlotTable {
    /// What the packet path asks, a byte a slot: 10,000 of them stay in the cache.
    enum Kind: UInt8 { case unused, listener, relay }

    private var kinds: [Kind] = []
    private var roles: [SlotRole] = []

    @inline(__always)
    func kind(of slot: SocketSlot) -> Kind {
        Int(slot.index) < kinds.count ? kinds[Int(slot.index)] : .unused
    }

    subscript(slot: SocketSlot) -> SlotRole {
        get { Int(slot.index) < roles.count ? roles[Int(slot.index)] : .unused }
        set {
            let index = Int(slot.index)
            while roles.count <= index {
                roles.append(.unused)
                kinds.append(.unused)
            }
            roles[index] = newValue
            kinds[index] =
                switch newValue {
                case .unused: .unused
                case .listener: .listener
                case .relay: .relay
                }
        }
    }
}

/// What a socket slot is to the core.
enum SlotRole {
    case unused
    /// A listener at this local address.
    case listener(TransportAddress)
    /// The relayed transport address of an allocation.
    case relay(allocation: UInt32, family: AddressFamily)
}
