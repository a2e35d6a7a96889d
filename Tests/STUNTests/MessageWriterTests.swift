import STUN
import Testing

@Suite("The writer")
struct MessageWriterTests {
    let key = IntegrityKey.longTerm(.md5, username: "alice", realm: "example.org", password: "secret")

    @Test("Messages lie one after another and do not disturb each other")
    func several() throws {
        var writer = MessageWriter(capacityBytes: 256)
        writer.begin(.successResponse, .binding, someID)
        let first = writer.finish()
        writer.begin(.indication, .data, someID)
        writer.append(.data, bytes: hex("010203").span.bytes)
        let second = writer.finish()
        #expect(first == 0..<20)
        #expect(second == 20..<48)
        let size = writer.byteCount
        #expect(size == 48)
        let bytes = writer.bytes(try #require(first)).array + writer.bytes(try #require(second)).array
        #expect(
            bytes
                == hex("01010000 2112a442 b7e7a701bc34d686fa87dfae 00170008 2112a442 b7e7a701bc34d686fa87dfae")
                + hex("00130003 01020300"))
    }

    @Test("A message that does not fit leaves nothing behind, whichever byte is the one too many")
    func overflow() throws {
        let room = 20 + 8 + 12 + 24 + 8
        for capacity in 0...room {
            var writer = MessageWriter(capacityBytes: capacity)
            writer.begin(.request, .refresh, someID)
            writer.append(.lifetime, uint32: 600)
            writer.append(.username, text: "alice")
            let range = writer.finish(signedWith: key, .sha1, fingerprint: true)
            #expect((range != nil) == (capacity == room))
            let size = writer.byteCount
            #expect(size == range?.count ?? 0)
            guard range == nil, capacity >= 20 else { continue }
            writer.begin(.request, .binding, someID)
            let next = writer.finish()
            #expect(next == 0..<20)
        }
    }

    @Test("Later attributes do not slip into a message after one that did not fit")
    func overflowSticks() {
        var writer = MessageWriter(capacityBytes: 40)
        writer.begin(.request, .binding, someID)
        writer.append(.data, bytes: fill(0, 30).span.bytes)
        writer.append(.lifetime, uint32: 1)
        let range = writer.finish()
        #expect(range == nil)
    }

    @Test("A length that 16 bits cannot say does not fit, whatever room there is")
    func lengthField() {
        var writer = MessageWriter(capacityBytes: 200_000)
        for (byteCount, fits) in [(0xFFF8, true), (0xFFF9, false), (0x1_0000, false), (0x1_0004, false)] {
            writer.removeAll()
            writer.begin(.indication, .data, someID)
            writer.append(.data, bytes: fill(0, byteCount).span.bytes)
            let range = writer.finish()
            #expect((range != nil) == fits, "\(byteCount) bytes of data")
        }
    }

    @Test("What was begun and not finished is gone")
    func abandoned() throws {
        var writer = MessageWriter(capacityBytes: 64)
        writer.begin(.request, .allocate, someID)
        writer.append(.lifetime, uint32: 600)
        writer.begin(.request, .binding, someID)
        let range = writer.finish()
        #expect(range == 0..<20)
        let type = writer.bytes(try #require(range)).uint16(at: 0)
        #expect(type == 0x0001)
    }

    @Test("Padding is zero in memory that was used before")
    func padding() throws {
        var writer = MessageWriter(capacityBytes: 64)
        writer.begin(.indication, .data, someID)
        writer.append(.data, bytes: fill(0xFF, 40).span.bytes)
        let full = writer.finish()
        #expect(full == 0..<64)
        for byteCount in 1...9 {
            writer.removeAll()
            writer.begin(.indication, .data, someID)
            writer.append(.data, bytes: fill(0xEE, byteCount).span.bytes)
            let range = writer.finish()
            let bytes = writer.bytes(try #require(range)).array
            #expect(bytes.count % 4 == 0)
            #expect(bytes[(24 + byteCount)...].allSatisfy { $0 == 0 })
        }
    }

    @Test("The smallest answers are as small as they can be")
    func sizes() throws {
        let client = try #require(TransportAddress("192.0.2.1:4000"))
        let binding = write(.successResponse, .binding) { $0.append(.xorMappedAddress, xorAddress: client) }
        #expect(binding.count == 32)
        let unauthenticated = write(.errorResponse, .allocate) {
            $0.appendErrorCode(.unauthenticated, withReason: false)
        }
        #expect(unauthenticated.count == 28)
    }

    private func fill(_ byte: UInt8, _ count: Int) -> [UInt8] { Array(repeating: byte, count: count) }
}
