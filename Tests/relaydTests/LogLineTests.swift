import Dispatch
import Foundation
import Glibc
import Logging
import STUN
import Synchronization
import Testing

@testable import RelayCore
@testable import relayd

@Suite("Log lines")
struct LogLineTests {
    private let time = Date(timeIntervalSince1970: 1_795_248_000.125)

    private func line(_ fields: [(key: String, value: LogValue)], event: String = "allocation created") -> LogLine {
        LogLine(time: time, level: .info, event: event, fields: fields)
    }

    @Test("Text: time, level, event, fields")
    func text() {
        let written = line([("client", "192.0.2.7:5000"), ("user", "alice")]).written(as: .text)
        #expect(written == "2026-11-21T08:00:00.125Z info allocation created client=192.0.2.7:5000 user=alice")
    }

    @Test("JSON: stable keys first")
    func json() {
        let written = line([("client", "192.0.2.7:5000"), ("user", "alice")]).written(as: .json)
        #expect(
            written == #"{"ts":"2026-11-21T08:00:00.125Z","level":"info","event":"allocation created","#
                + #""client":"192.0.2.7:5000","user":"alice"}"#)
    }

    private static let hostile = [
        "a\nb", "a\r\nb", "a\u{0}b", "\u{1B}[2J", "a\"b", "a\\b", "a b", "a=b", "", "a\tb", "\u{7F}", "\u{85}",
        "\u{9B}31m",
        "\u{2028}", "\u{2029}", "\u{202E}evil", "grüße", "日本", "😀", "x\" level=\"error",
        "2026-11-21T08:00:00.123Z error forged\n2026-11-21T08:00:00.123Z info user=",
    ]

    @Test("No value breaks out of its line", arguments: hostile)
    func oneLine(value: String) {
        for format in Settings.LogFormat.allCases {
            let written = line([("user", .text(value)), ("after", "1")]).written(as: format)
            let forbidden = written.unicodeScalars.filter {
                $0.value < 0x20 || (0x7F...0x9F).contains($0.value) || (0x2028...0x202E).contains($0.value)
            }
            #expect(forbidden.isEmpty, "\(written)")
        }
    }

    @Test("JSON gives every value back as it was", arguments: hostile)
    func roundTrip(value: String) throws {
        let written = line([("user", .text(value))], event: value).written(as: .json)
        let object = try JSONDecoder().decode([String: String].self, from: Data(written.utf8))
        #expect(object["user"] == value)
        #expect(object["event"] == value)
    }

    @Test("Text puts a value in quotes unless it is plain")
    func quotes() {
        #expect(line([("user", "a b")]).written(as: .text).hasSuffix(#" created user="a b""#))
        #expect(line([("user", "")]).written(as: .text).hasSuffix(#" created user="""#))
        #expect(line([("user", "a\"b\nc")]).written(as: .text).hasSuffix(#" created user="a\"b\nc""#))
    }

    @Test("A note becomes one line with its facts as fields")
    func notes() throws {
        let pipe = Pipe()
        let writer = LogWriter(descriptor: pipe.fileHandleForWriting.fileDescriptor)
        let logger = Logger(label: "test") { _ in
            RelayLogHandler(format: .json, threshold: LogThreshold(.info), writer: writer)
        }
        NoteLog(logger: logger)(
            .peerDenied(
                client: try transport("192.0.2.7:5000"), username: "eve\nx", peer: try transport("10.0.0.1:80"),
                rule: "deny-peer 10.0.0.0/8"))
        writer.flush()
        try pipe.fileHandleForWriting.close()
        let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        #expect(text.hasSuffix("\n"))
        let object = try JSONDecoder().decode([String: String].self, from: Data(text.utf8))
        #expect(object["event"] == "peer denied")
        #expect(object["client"] == "192.0.2.7:5000")
        #expect(object["user"] == "eve\nx")
        #expect(object["rule"] == "deny-peer 10.0.0.0/8")
    }

    @Test(
        "A reader that has stopped reading holds nobody up, and what does not fit is counted",
        arguments: Settings.LogFormat.allCases)
    func stuckReader(format: Settings.LogFormat) throws {
        let pipe = Pipe()
        let writer = LogWriter(descriptor: pipe.fileHandleForWriting.fileDescriptor, format: format)
        let line = String(repeating: "x", count: 1023)
        // 3 MiB: the pipe holds 64 KiB, the writer 1 MiB on its way and 1 MiB behind it.
        for _ in 0..<3072 { writer.write(line) }
        writer.flush()
        var text = ""
        while Self.isReadable(pipe.fileHandleForReading, within: 2_000) {
            text += String(decoding: pipe.fileHandleForReading.availableData, as: UTF8.self)
        }
        let written = text.split(separator: "\n").count { $0 == line }
        // A writer that began late tells of what it dropped more than once.
        let dropped = text.matches(of: /count"?[=:]"?([0-9]+)/).reduce(0) { $0 + (Int($1.1) ?? 0) }
        #expect(dropped > 0)
        #expect(written + dropped == 3072)
    }

    @Test("What is said last is not lost where the queue comes late to run")
    func lateQueue() throws {
        let pipe = Pipe()
        let queue = DispatchQueue(label: "late")
        let writer = LogWriter(descriptor: pipe.fileHandleForWriting.fileDescriptor, queue: queue)
        queue.suspend()
        DispatchQueue.global().asyncAfter(deadline: .now() + .milliseconds(300)) { queue.resume() }
        writer.write("the reason")
        writer.flush()
        #expect(Self.isReadable(pipe.fileHandleForReading, within: 0))
    }

    private static func isReadable(_ file: FileHandle, within milliseconds: Int32) -> Bool {
        var wanted = pollfd(fd: file.fileDescriptor, events: Int16(POLLIN), revents: 0)
        return poll(&wanted, 1, milliseconds) > 0
    }

    @Test("JSON: numbers are numbers, text that looks like one is not")
    func numbers() throws {
        let pipe = Pipe()
        let writer = LogWriter(descriptor: pipe.fileHandleForWriting.fileDescriptor)
        let logger = Logger(label: "test") { _ in
            RelayLogHandler(format: .json, threshold: LogThreshold(.info), writer: writer)
        }
        var traffic = AllocationTraffic()
        (traffic.packetsToPeers, traffic.bytesToPeers) = (3, 300)
        var carried = SessionTraffic()
        carried.add(traffic, by: "io-uring")
        NoteLog(logger: logger)(
            .allocationEnded(
                AllocationSummary(
                    client: try transport("192.0.2.7:5000"), server: try transport("192.0.2.1:3478"), username: "12",
                    relayed: [try transport("192.0.2.1:50000")]), .kicked, carried, ageSeconds: 7))
        writer.flush()
        try pipe.fileHandleForWriting.close()
        let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        #expect(text.contains(#""event":"allocation ended","age_s":7,"client":"192.0.2.7:5000","#))
        #expect(text.contains(#""io_uring_to_peers_bytes":300,"io_uring_to_peers_packets":3,"reason":"kicked""#))
        #expect(text.contains(#""to_peers_bytes":300,"to_peers_packets":3,"user":"12"}"#))
    }

    @Test(
        "For the journal, text begins with its severity",
        arguments: [(.info, "<6>"), (.notice, "<5>"), (.warning, "<4>"), (.error, "<3>"), (.debug, "<7>")]
            as [(Logger.Level, String)])
    func journal(level: Logger.Level, prefix: String) {
        let line = LogLine(time: time, level: level, event: "e", fields: [])
        #expect(line.written(as: .text, toJournal: true) == prefix + line.written(as: .text))
        #expect(line.written(as: .json, toJournal: true) == line.written(as: .json))
    }

    @Test("The journal is known by the file behind standard error")
    func journalStream() throws {
        let pipe = Pipe()
        let descriptor = pipe.fileHandleForWriting.fileDescriptor
        var status = stat()
        try #require(fstat(descriptor, &status) == 0)
        #expect(Journal.reads(descriptor, ["JOURNAL_STREAM": "\(status.st_dev):\(status.st_ino)"]))
        #expect(!Journal.reads(descriptor, ["JOURNAL_STREAM": "\(status.st_dev):\(status.st_ino + 1)"]))
        #expect(!Journal.reads(descriptor, [:]))
    }

    @Test("What a client can bring about at will is limited, each kind by itself, and what was left out is told")
    func limiter() throws {
        let told = Mutex<[String: Int]>([:])
        let done = DispatchSemaphore(value: 0)
        let limiter = NoteLimiter(burst: 5, linesPerSecond: 2, tellingAfter: .milliseconds(50)) { event, count in
            told.withLock { $0[event, default: 0] += count }
            done.signal()
        }
        let start = DispatchTime(uptimeNanoseconds: 1_000_000_000_000)
        #expect((0..<20).count { _ in limiter.admits("peer denied", at: start) } == 5)
        #expect((0..<4).count { _ in limiter.admits("quota reached", at: start) } == 4)
        #expect((0..<20).count { _ in limiter.admits("peer denied", at: start + .seconds(1)) } == 2)
        #expect((0..<20).count { _ in limiter.admits("peer denied", at: start + .seconds(100)) } == 5)
        while told.withLock({ $0["peer denied", default: 0] < 48 }) {
            try #require(done.wait(timeout: .now() + 20) == .success)
        }
        #expect(told.withLock { $0 } == ["peer denied": 48])
    }

    @Test("Below the level nothing is written")
    func level() throws {
        let pipe = Pipe()
        let writer = LogWriter(descriptor: pipe.fileHandleForWriting.fileDescriptor)
        let logger = Logger(label: "test") { _ in
            RelayLogHandler(format: .text, threshold: LogThreshold(.warning), writer: writer)
        }
        logger.info("quiet")
        logger.warning("loud")
        writer.flush()
        try pipe.fileHandleForWriting.close()
        let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        #expect(text.split(separator: "\n").count == 1)
        #expect(text.contains(" warning loud"))
    }

    private func transport(_ text: String) throws -> TransportAddress { try #require(TransportAddress(text)) }
}
