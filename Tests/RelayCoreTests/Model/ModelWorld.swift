import STUN

@testable import RelayCore

/// Who lives in the model test: few of each kind, so that they meet often.
enum ModelWorld {
    static let configuration = Configuration.script.with {
        $0.relayAddresses = [
            RelayAddress(address: ip("10.1.1.1"), external: ip("203.0.113.7")),
            RelayAddress(address: ip("2001:db8:1::1")),
        ]
        $0.allocationsPerUser = 2
        $0.permissionsPerAllocation = 3
        $0.unauthenticatedRate = 0
    }

    static let users = ["alice", "bob"]

    /// Four of IPv4, two of IPv6; alice owns three of them, which is one more than her quota.
    static let clients: [(address: TransportAddress, user: Int)] = [
        ("198.51.100.1:1", 0), ("198.51.100.1:2", 0), ("198.51.100.2:1", 1), ("198.51.100.2:2", 1),
        ("[2001:db8:0:1::1]:1", 0), ("[2001:db8:0:1::1]:2", 1),
    ]

    static let peers: [TransportAddress] =
        [
            "192.0.2.1:1", "192.0.2.1:1", "192.0.2.1:2", "192.0.2.2:1", "192.0.2.3:1", "192.0.2.4:1", "192.0.2.4:0",
            "[2001:db8::1]:1", "[2001:db8::1]:2", "[2001:db8::2]:1", "10.0.0.1:1", "203.0.113.7:3478",
            "10.1.1.1:50000", "[2001:db8:1::1]:50001",
        ] + configuration.relayPorts.prefix(3).map { TransportAddress(ip("203.0.113.7"), port: $0) }

    /// Those of ``peers`` that the policy denies.
    static let deniedPeers: Set<IPAddress> = [ip("10.0.0.1")]

    static let numbers: [UInt16] = [0x4000, 0x4000, 0x4001, 0x4002, 0x4FFF, 0x5000]

    static let lifetimes: [UInt32?] = [nil, nil, 1, 600, 900, 3600, 7200]
}
