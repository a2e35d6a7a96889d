import STUN

/// One frame of each path that begins in IPv6, and what leaves for it, byte by byte. Worked out from RFC 791,
/// 768, 8200, 7915 and 8656 section 12.4: no code of this project had a part in them.
extension GoldenPath {
    static let ipv6: [GoldenPath] = [
        GoldenPath(
            from: (.ipv6, .channel), to: (.ipv4, .udp),
            arriving: """
                020000000001                      # Ethernet destination: the relay
                020000000002                      # Ethernet source: its router
                86dd                              # EtherType: IPv6
                6b854321                          # version 6, traffic class b8, flow label 54321
                0011                              # payload length 17
                11                                # UDP
                40                                # hop limit 64
                20010db8000c00000000000000000007  # source: the client, 2001:db8:c::7
                20010db8000000000000000000000001  # destination: the relay's listener, 2001:db8::1
                9c41                              # UDP source port 40001
                0d96                              # UDP destination port 3478
                0011                              # UDP length 17
                7696                              # UDP checksum
                4001                              # channel number
                0005                              # length of the data: 5
                68656c6c6f                        # data: "hello"
                """,
            leaving: """
                020000000101                      # Ethernet destination: the next hop
                020000000102                      # Ethernet source: the interface that it leaves by
                0800                              # EtherType: IPv4
                45                                # version 4, five words of header
                b8                                # DSCP 46 (EF), ECN 0
                0021                              # total length 33 = 20 + 13
                df4d                              # identification: of IPv6 the UDP checksum
                0000                              # no DF, no fragment
                3f                                # TTL 63
                11                                # UDP
                9dbb                              # header checksum
                c0000201                          # source: the relayed address, 192.0.2.1
                cb007109                          # destination: the peer, 203.0.113.9
                c350                              # UDP source port 50000
                1b58                              # UDP destination port 7000
                000d                              # UDP length 13
                df4d                              # UDP checksum
                68656c6c6f                        # data: "hello"
                """),
        GoldenPath(
            from: (.ipv6, .udp), to: (.ipv4, .channel),
            arriving: """
                020000000001                      # Ethernet destination: the relay
                020000000002                      # Ethernet source: its router
                86dd                              # EtherType: IPv6
                6b854321                          # version 6, traffic class b8, flow label 54321
                000d                              # payload length 13
                11                                # UDP
                40                                # hop limit 64
                20010db8000200000000000000000009  # source: the peer, 2001:db8:2::9
                20010db8000000000000000000000002  # destination: the relayed address, 2001:db8::2
                1b59                              # UDP source port 7001
                c351                              # UDP destination port 50001
                000d                              # UDP length 13
                81d8                              # UDP checksum
                68656c6c6f                        # data: "hello"
                """,
            leaving: """
                020000000101                      # Ethernet destination: the next hop
                020000000102                      # Ethernet source: the interface that it leaves by
                0800                              # EtherType: IPv4
                45                                # version 4, five words of header
                b8                                # DSCP 46 (EF), ECN 0
                0025                              # total length 37 = 20 + 17
                e5e0                              # identification: of IPv6 the UDP checksum
                0000                              # no DF, no fragment
                3f                                # TTL 63
                11                                # UDP
                a8f3                              # header checksum
                c0000201                          # source: the relay's listener, 192.0.2.1
                c6336407                          # destination: the client, 198.51.100.7
                0d96                              # UDP source port 3478
                9c40                              # UDP destination port 40000
                0011                              # UDP length 17
                e5e0                              # UDP checksum
                4001                              # channel number
                0005                              # length of the data: 5
                68656c6c6f                        # data: "hello"
                """),
        GoldenPath(
            from: (.ipv6, .channel), to: (.ipv4, .channel),
            arriving: """
                020000000001                      # Ethernet destination: the relay
                020000000002                      # Ethernet source: its router
                86dd                              # EtherType: IPv6
                6b854321                          # version 6, traffic class b8, flow label 54321
                0011                              # payload length 17
                11                                # UDP
                40                                # hop limit 64
                20010db8000c00000000000000000007  # source: the client, 2001:db8:c::7
                20010db8000000000000000000000001  # destination: the relay's listener, 2001:db8::1
                9c41                              # UDP source port 40001
                0d96                              # UDP destination port 3478
                0011                              # UDP length 17
                7696                              # UDP checksum
                4001                              # channel number
                0005                              # length of the data: 5
                68656c6c6f                        # data: "hello"
                """,
            leaving: """
                020000000101                      # Ethernet destination: the next hop
                020000000102                      # Ethernet source: the interface that it leaves by
                0800                              # EtherType: IPv4
                45                                # version 4, five words of header
                b8                                # DSCP 46 (EF), ECN 0
                0025                              # total length 37 = 20 + 17
                d1f9                              # identification: of IPv6 the UDP checksum
                0000                              # no DF, no fragment
                3f                                # TTL 63
                11                                # UDP
                bcd9                              # header checksum
                c0000201                          # source: the relay's listener, 192.0.2.1
                c6336408                          # destination: the other client, 198.51.100.8
                0d96                              # UDP source port 3478
                a028                              # UDP destination port 41000
                0011                              # UDP length 17
                d1f9                              # UDP checksum
                4fff                              # channel number
                0005                              # length of the data: 5
                68656c6c6f                        # data: "hello"
                """),
        GoldenPath(
            from: (.ipv6, .channel), to: (.ipv6, .udp),
            arriving: """
                020000000001                      # Ethernet destination: the relay
                020000000002                      # Ethernet source: its router
                86dd                              # EtherType: IPv6
                6b854321                          # version 6, traffic class b8, flow label 54321
                0011                              # payload length 17
                11                                # UDP
                40                                # hop limit 64
                20010db8000c00000000000000000007  # source: the client, 2001:db8:c::7
                20010db8000000000000000000000001  # destination: the relay's listener, 2001:db8::1
                9c41                              # UDP source port 40001
                0d96                              # UDP destination port 3478
                0011                              # UDP length 17
                7696                              # UDP checksum
                4001                              # channel number
                0005                              # length of the data: 5
                68656c6c6f                        # data: "hello"
                """,
            leaving: """
                020000000101                      # Ethernet destination: the next hop
                020000000102                      # Ethernet source: the interface that it leaves by
                86dd                              # EtherType: IPv6
                6b8abcde                          # version 6, traffic class b8, flow label abcde
                000d                              # payload length 13
                11                                # UDP
                3f                                # hop limit 63
                20010db8000000000000000000000002  # source: the relayed address, 2001:db8::2
                20010db8000200000000000000000009  # destination: the peer, 2001:db8:2::9
                c351                              # UDP source port 50001
                1b59                              # UDP destination port 7001
                000d                              # UDP length 13
                81d8                              # UDP checksum
                68656c6c6f                        # data: "hello"
                """),
        GoldenPath(
            from: (.ipv6, .udp), to: (.ipv6, .channel),
            arriving: """
                020000000001                      # Ethernet destination: the relay
                020000000002                      # Ethernet source: its router
                86dd                              # EtherType: IPv6
                6b854321                          # version 6, traffic class b8, flow label 54321
                000d                              # payload length 13
                11                                # UDP
                40                                # hop limit 64
                20010db8000200000000000000000009  # source: the peer, 2001:db8:2::9
                20010db8000000000000000000000002  # destination: the relayed address, 2001:db8::2
                1b59                              # UDP source port 7001
                c351                              # UDP destination port 50001
                000d                              # UDP length 13
                81d8                              # UDP checksum
                68656c6c6f                        # data: "hello"
                """,
            leaving: """
                020000000101                      # Ethernet destination: the next hop
                020000000102                      # Ethernet source: the interface that it leaves by
                86dd                              # EtherType: IPv6
                6b8abcde                          # version 6, traffic class b8, flow label abcde
                0011                              # payload length 17
                11                                # UDP
                3f                                # hop limit 63
                20010db8000000000000000000000001  # source: the relay's listener, 2001:db8::1
                20010db8000c00000000000000000007  # destination: the client, 2001:db8:c::7
                0d96                              # UDP source port 3478
                9c41                              # UDP destination port 40001
                0011                              # UDP length 17
                7696                              # UDP checksum
                4001                              # channel number
                0005                              # length of the data: 5
                68656c6c6f                        # data: "hello"
                """),
        GoldenPath(
            from: (.ipv6, .channel), to: (.ipv6, .channel),
            arriving: """
                020000000001                      # Ethernet destination: the relay
                020000000002                      # Ethernet source: its router
                86dd                              # EtherType: IPv6
                6b854321                          # version 6, traffic class b8, flow label 54321
                0011                              # payload length 17
                11                                # UDP
                40                                # hop limit 64
                20010db8000c00000000000000000007  # source: the client, 2001:db8:c::7
                20010db8000000000000000000000001  # destination: the relay's listener, 2001:db8::1
                9c41                              # UDP source port 40001
                0d96                              # UDP destination port 3478
                0011                              # UDP length 17
                7696                              # UDP checksum
                4001                              # channel number
                0005                              # length of the data: 5
                68656c6c6f                        # data: "hello"
                """,
            leaving: """
                020000000101                      # Ethernet destination: the next hop
                020000000102                      # Ethernet source: the interface that it leaves by
                86dd                              # EtherType: IPv6
                6b8abcde                          # version 6, traffic class b8, flow label abcde
                0011                              # payload length 17
                11                                # UDP
                3f                                # hop limit 63
                20010db8000000000000000000000001  # source: the relay's listener, 2001:db8::1
                20010db8000c00000000000000000008  # destination: the other client, 2001:db8:c::8
                0d96                              # UDP source port 3478
                a029                              # UDP destination port 41001
                0011                              # UDP length 17
                62af                              # UDP checksum
                4fff                              # channel number
                0005                              # length of the data: 5
                68656c6c6f                        # data: "hello"
                """),
    ]
}
