import HTTPTypes
import HummingbirdCore
import NIOCore
import RelayCore
import Synchronization
import Testing

@testable import relayd

@Suite("Administration")
struct AdministrationTests {
    @Test(
        "Queries",
        arguments: [
            ("/sessions", [:]), ("/sessions?", [:]), ("/s?user=alice&limit=3", ["user": "alice", "limit": "3"]),
            ("/s?user=a%20b%C3%A9%26", ["user": "a b\u{E9}&"]), ("/s?a=b=c", ["a": "b=c"]), ("/s?flag", ["flag": ""]),
        ] as [(String, [String: String])])
    func query(path: String, values: [String: String]) { #expect(Query(path)?.values == values) }

    @Test("No queries", arguments: ["/s?a=1&a=2", "/s?a=%", "/s?a=%4", "/s?a=%zz", "/s?a=%ff"])
    func noQuery(path: String) { #expect(Query(path) == nil) }

    @Test(
        "What is encoded is decoded", arguments: ["alice", "1800:b\u{F6}b & c?/#%+", "", "\u{1F600}\n\"", "[::1]:80"])
    func roundTrip(text: String) {
        let path = Query.path("/s", [("user", text), ("none", nil)])
        #expect(Query(path)?.values == ["user": text])
        #expect(path.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F })
    }

    @Test("Tables: columns as wide as their widest cell, numbers to the right")
    func table() {
        #expect(
            TextTable.text([["A", "N"], ["long", "7"], ["x", "123"]], right: [1]) == "A       N\nlong    7\nx     123\n"
        )
        #expect(
            [0, 999, 1000, 1_549_999, 12_000_000_000].map(TextTable.bytes) == [
                "0 B", "999 B", "1.0 kB", "1.5 MB", "12.0 GB",
            ])
        #expect([59, 60, 3725, 90_000].map(TextTable.span) == ["59s", "1m 0s", "1h 2m", "1d 1h"])
    }

    /// A listener that takes some events and then waits for ever.
    private struct Listener: ResponseBodyWriter {
        final class Taken: Sendable {
            let events = Mutex<[String]>([])
        }

        let taken: Taken
        let appetite: Int

        mutating func write(_ buffer: ByteBuffer) async throws {
            let count = taken.events.withLock { events in
                events.append(String(buffer: buffer))
                return events.count
            }
            if count > appetite { try await Task.sleep(for: .seconds(600)) }
        }

        consuming func finish(_ trailingHeaders: HTTPFields?) async throws {}
    }

    @Test("Whoever does not take an event in time is dropped, and its place is free again")
    func slowListener() async throws {
        let feed = EventFeed(every: .milliseconds(1), patience: .milliseconds(500)) { "{}\n" }
        let taken = Listener.Taken()
        await #expect(throws: EventFeed.TooSlow.self) {
            try await feed.answer().body.write(Listener(taken: taken, appetite: 3))
        }
        #expect(taken.events.withLock { $0 } == Array(repeating: "data: {}\n\n", count: 4))
        let seats = (0..<EventFeed.mostListeners).map { _ in feed.answer() }
        #expect(seats.allSatisfy { $0.status == .ok })
        #expect(feed.answer().status == .serviceUnavailable)
        withExtendedLifetime(seats) {}
    }

    @Test("A place is free again when its answer is never sent")
    func unsent() {
        let feed = EventFeed { "{}\n" }
        for _ in 0..<3 {
            #expect((0..<EventFeed.mostListeners).map { _ in feed.answer() }.allSatisfy { $0.status == .ok })
        }
    }

    @Test("A listener that goes away ends its stream")
    func goneListener() async throws {
        let feed = EventFeed(every: .milliseconds(1)) { "{}\n" }
        let taken = Listener.Taken()
        let stream = Task { try await feed.answer().body.write(Listener(taken: taken, appetite: .max)) }
        while taken.events.withLock({ $0.count }) < 3 { await Task.yield() }
        stream.cancel()
        await #expect(throws: CancellationError.self) { try await stream.value }
    }
}
