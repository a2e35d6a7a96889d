import STUN
import Testing

@testable import RelayCore

@Suite struct FlatTableTests {
    /// A key whose hash the seed chooses to be good, or to put everything into eight neighbouring places.
    struct NumberKey: FlatKey {
        let number: UInt32

        func hash(seed: UInt64) -> UInt64 {
            seed == 0 ? UInt64(number % 8) &- 4 : flatHash(IPAddress(v4: number), 0, seed: seed)
        }
    }

    @Test("Random operations agree with a dictionary", arguments: [0 as UInt64, 1, 0xDEAD_BEEF])
    func agreesWithDictionary(seed: UInt64) {
        var generator = SplitMix64(seed: structureSeed ^ seed)
        var table = FlatTable<NumberKey, UInt64>(minimumCapacity: 0, seed: seed)
        var model: [UInt32: UInt64] = [:]
        // All keys in one run make lookups linear: fewer keys and fewer operations there.
        let keyCount: UInt32 = seed == 0 ? 40 : 4_000
        for step in 0..<(seed == 0 ? 40_000 : 200_000) {
            let number = UInt32.random(in: 0..<keyCount, using: &generator)
            let key = NumberKey(number: number)
            let value = UInt64(step)
            let agrees: Bool
            switch Int.random(in: 0..<6, using: &generator) {
            case 0, 1:
                agrees = table.insert(key, value) == (model[number] == nil)
                if model[number] == nil { model[number] = value }
            case 2, 3:
                agrees = table.remove(key) == model.removeValue(forKey: number)
            case 4:
                agrees = table.update(key, value) == (model[number] != nil)
                if model[number] != nil { model[number] = value }
            default:
                agrees = table.value(key) == model[number]
            }
            guard agrees, table.count == model.count else {
                Issue.record("step \(step), key \(number), \(structureSeedNote)")
                return
            }
        }
        var content: [UInt32: UInt64] = [:]
        table.forEach { content[$0.number] = $1 }
        #expect(content == model, "\(structureSeedNote)")
        #expect(content.count == table.count, "\(structureSeedNote)")
    }

    @Test("A value is changed in its place")
    func changesInPlace() throws {
        var table = FlatTable<NumberKey, UInt64>(minimumCapacity: 4, seed: 3)
        #expect(table.insert(NumberKey(number: 7), 1) == true)
        let index = try #require(table.find(NumberKey(number: 7)) ?? nil)
        table[index] += 41
        #expect(table.value(NumberKey(number: 7)) == 42)
    }

    @Test("It grows at 70 % by doubling, never shrinks, and says what it takes")
    func grows() {
        var table = FlatTable<NumberKey, UInt64>(minimumCapacity: 0, seed: 9)
        let entry = FlatTable<NumberKey, UInt64>.entryByteCount
        #expect(table.byteCount == 8 * entry)
        for number: UInt32 in 0..<5 { #expect(table.insert(NumberKey(number: number), 0) == true) }
        #expect(table.byteCount == 8 * entry)
        for number: UInt32 in 5..<10_000 { #expect(table.insert(NumberKey(number: number), 0) == true) }
        #expect(table.byteCount == 16_384 * entry)
        for number: UInt32 in 0..<10_000 { #expect(table.remove(NumberKey(number: number)) == 0) }
        #expect(table.count == 0)
        #expect(table.byteCount == 16_384 * entry)
    }

    @Test("The room that was asked for is there from the start")
    func reserves() {
        var table = FlatTable<NumberKey, UInt64>(minimumCapacity: 1_000, seed: 9)
        let before = table.byteCount
        for number: UInt32 in 0..<1_000 { #expect(table.insert(NumberKey(number: number), 0) == true) }
        #expect(table.byteCount == before)
    }

    @Test("At its maximum it refuses new keys and keeps the old")
    func stopsAtMaximum() {
        var table = FlatTable<NumberKey, UInt64>(minimumCapacity: 100, maximumCount: 3, seed: 9)
        for number: UInt32 in 0..<3 { #expect(table.insert(NumberKey(number: number), UInt64(number)) == true) }
        #expect(table.isFull == true)
        #expect(table.insert(NumberKey(number: 3), 3) == false)
        #expect(table.value(NumberKey(number: 3)) == nil)
        #expect(table.remove(NumberKey(number: 1)) == 1)
        #expect(table.isFull == false)
        #expect(table.insert(NumberKey(number: 3), 3) == true)
        #expect(table.value(NumberKey(number: 0)) == 0)
    }
}

@Suite struct KeyTests {
    static let addresses: [IPAddress] = [
        IPAddress(v4: 0x0A00_0001), IPAddress(v4: 0x0A00_0002), IPAddress(v6High: 0, low: 0x0A00_0001),
        IPAddress(v6High: 1, low: 0x0A00_0001), IPAddress(v6High: 1 << 63, low: 0x0A00_0001),
        IPAddress(v6High: 0, low: 1 << 63),
    ]

    /// Every combination of a few values for each field: `make` takes address, port, slot and channel.
    private func variants<Key>(_ make: (IPAddress, UInt16, SocketSlot, UInt16) -> Key) -> [Key] {
        var keys: [Key] = []
        for address in Self.addresses {
            for port: UInt16 in [0, 1, 0x4000, 0xFFFF] {
                for slot: UInt32 in [0, 1, 0x4000, .max] {
                    for channel: UInt16 in [0, 1, 0x4000, 0xFFFF] {
                        keys.append(make(address, port, SocketSlot(index: slot), channel))
                    }
                }
            }
        }
        return keys
    }

    /// Each different key is found again, and no two have one hash.
    private func expectDistinct<Key: FlatKey & Hashable>(_ keys: [Key]) {
        var table = FlatTable<Key, Int>(minimumCapacity: 0, seed: structureSeed)
        let distinct = Array(Set(keys))
        for (number, key) in distinct.enumerated() { #expect(table.insert(key, number) == true) }
        for (number, key) in distinct.enumerated() { #expect(table.value(key) == number, "\(structureSeedNote)") }
        #expect(Set(distinct.map { $0.hash(seed: structureSeed) }).count == distinct.count, "\(structureSeedNote)")
    }

    @Test("Every field of a key counts")
    func everyFieldCounts() {
        let clients = variants { ip, port, slot, _ in
            ClientKey(client: TransportAddress(ip, port: port), listener: slot)
        }
        let channels = variants { ip, port, slot, channel in
            ChannelKey(client: TransportAddress(ip, port: port), listener: slot, channel: channel)
        }
        let peers = variants { ip, port, slot, _ in
            PeerKey(relay: slot, peer: TransportAddress(ip, port: port))
        }
        let permissions = variants { ip, _, slot, _ in PermissionKey(relay: slot, peer: ip) }
        #expect(Set(clients).count == 96 && Set(channels).count == 384)
        #expect(Set(peers).count == 96 && Set(permissions).count == 24)
        expectDistinct(clients)
        expectDistinct(channels)
        expectDistinct(peers)
        expectDistinct(permissions)
    }

    /// Keys as a client can choose them (ports in a row, addresses in a row, a power of two apart) spread over a table
    /// as random ones would: 10,000 keys leave about 7,480 of 16,384 places used.
    @Test("Keys that follow a pattern spread evenly", arguments: [1, 2, .max, structureSeed])
    func spreads(seed: UInt64) {
        let patterns: [(UInt32) -> TransportAddress] = [
            { TransportAddress(IPAddress(v4: 0x0A00_0001), port: UInt16(truncatingIfNeeded: 1_024 + $0)) },
            { TransportAddress(IPAddress(v4: 0x0A00_0000 + $0), port: 3_478) },
            { TransportAddress(IPAddress(v4: $0 << 16), port: 3_478) },
            { TransportAddress(IPAddress(v6High: UInt64($0) << 32, low: 1), port: 3_478) },
            { TransportAddress(IPAddress(v6High: 0x2A00 << 48, low: UInt64($0) << 40), port: 3_478) },
        ]
        for (number, pattern) in patterns.enumerated() {
            let places = Set(
                (0..<10_000).map {
                    ClientKey(client: pattern($0), listener: SocketSlot(index: 0)).hash(seed: seed) & 16_383
                })
            #expect(places.count > 7_200, "pattern \(number), \(structureSeedNote)")
        }
    }

    @Test("Another seed, other places")
    func seedMatters() {
        let key = PeerKey(
            relay: SocketSlot(index: 1), peer: TransportAddress(IPAddress(v4: 0x0A00_0001), port: 1))
        #expect(Set((0..<1_000 as Range<UInt64>).map { key.hash(seed: $0) & 0xFFFF_FFFF }).count > 990)
    }
}
