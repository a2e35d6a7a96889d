import STUN

@testable import RelayCore

// What the tests write as text is known to be right.

func ip(_ text: String) -> IPAddress {
    guard let address = IPAddress(text) else { preconditionFailure("\(text) is no address") }
    return address
}

func at(_ text: String) -> TransportAddress {
    guard let address = TransportAddress(text) else { preconditionFailure("\(text) is no transport address") }
    return address
}

func channel(_ number: UInt16) -> ChannelNumber {
    guard let channel = ChannelNumber(number, in: .rfc5766) else { preconditionFailure("\(number) is no channel") }
    return channel
}
