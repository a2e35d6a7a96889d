public import STUN

public typealias ICMPError = ICMPAttribute
