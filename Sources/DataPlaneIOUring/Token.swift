import RelayCore

/// What a request carries so that its completion finds back: what it was, which slot, and in which life of that slot.
struct Token: BitwiseCopyable, Equatable {
    enum Kind: UInt64 {
        /// A multishot receive on a slot.
        case receive = 1
        /// A message of the transmitter; the number is its place.
        case send = 2
        /// The wake-up descriptor.
        case wake = 3
        /// The end of a request that was asked to end.
        case cancel = 4
        /// As `send`, by zero copy; the number is the message and the buffer that it pins.
        case pinningSend = 5
        /// One question whether a slot's socket is ready.
        case readiness = 6
    }

    /// Bits 60 to 63 the kind, 32 to 59 the generation, 0 to 31 the slot or the message.
    let rawValue: UInt64
    static let generationMask: UInt32 = 0x0FFF_FFFF

    init(rawValue: UInt64) { self.rawValue = rawValue }

    init(_ kind: Kind, number: Int = 0, generation: UInt32 = 0) {
        rawValue =
            kind.rawValue << 60 | UInt64(generation & Self.generationMask) << 32 | UInt64(UInt32(number))
    }

    /// Of a message of the transmitter that leaves by `owner`, and pins a buffer or none.
    init(sending message: Int, by owner: Int, pinning buffer: Int?) {
        self =
            if let buffer {
                Token(.pinningSend, number: buffer << Self.messageBits | message, generation: UInt32(owner))
            } else {
                Token(.send, number: message, generation: UInt32(owner))
            }
    }

    private static let messageBits = 16

    /// Of a send.
    var message: Int { number & (1 << Self.messageBits - 1) }
    /// Of a send that pins it.
    var pinnedBuffer: Int { number >> Self.messageBits }

    var kind: Kind? { Kind(rawValue: rawValue >> 60) }
    var generation: UInt32 { UInt32(truncatingIfNeeded: rawValue >> 32) & Self.generationMask }
    var number: Int { Int(UInt32(truncatingIfNeeded: rawValue)) }
}
