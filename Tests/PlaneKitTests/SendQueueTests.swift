import PlaneTestKit
import RelayCore
import STUN
import TestSeed
import Testing

@testable import PlaneKit

/// The sorting of a turn's datagrams into runs, against the list that they were queued in.
@Suite struct SendQueueTests {
    struct Entry {
        let number: Int
        let egress: Int
        let destination: TransportAddress
        let size: Int
    }

    @Test func runsHoldEverythingOnceAndInOrder() throws {
        var generator = SeededGenerator()
        var queue = SendQueue()
        for _ in 0..<300 {
            let entries = fill(&queue, using: &generator)
            let drained = drain(queue)
            #expect(drained.count == entries.count, "\(generator)")
            for (egress, destination) in Set(entries.map { Key(egress: $0.egress, destination: $0.destination) }).map({
                ($0.egress, $0.destination)
            }) {
                let wanted = entries.filter { $0.egress == egress && $0.destination == destination }.map(\.number)
                let found = drained.filter { $0.egress == egress && $0.destination == destination }.map(\.number)
                #expect(found == wanted, "\(generator)")
            }
            queue.removeAll()
            let isEmpty = queue.isEmpty
            #expect(isEmpty)
        }
    }

    @Test func aRunEndsAfterAShorterDatagram() {
        var queue = SendQueue()
        for size in [100, 100, 60, 60, 100, 0, 0] { append(size, to: &queue) }
        #expect(runCounts(of: queue, segmentLimit: 65_000) == [3, 1, 1, 1, 1])
        #expect(runCounts(of: queue, segmentLimit: 99) == [1, 1, 2, 1, 1, 1])
        #expect(runCounts(of: queue, segmentLimit: 0) == [1, 1, 1, 1, 1, 1, 1])
    }

    @Test func aRunHasAtMost64DatagramsAnd65000Bytes() {
        var queue = SendQueue()
        for _ in 0..<100 { append(10, to: &queue) }
        #expect(runCounts(of: queue, segmentLimit: 65_000) == [64, 36])
        queue.removeAll()
        for _ in 0..<50 { append(1_400, to: &queue) }
        #expect(runCounts(of: queue, segmentLimit: 65_000) == [46, 4])
    }

    @Test func differentMarksEndARunAndFramingDoesNot() {
        var queue = SendQueue()
        append(100, to: &queue)
        append(100, to: &queue) { $0.trafficClass = 4 }
        append(100, to: &queue) { $0.trafficClass = 4 }
        append(96, to: &queue) {
            $0.trafficClass = 4
            $0.channel = 0x4000
        }
        append(100, to: &queue) { $0.dontFragment = true }
        append(100, to: &queue) { $0.dontFragment = true }
        #expect(runCounts(of: queue, segmentLimit: 65_000) == [1, 3, 1, 1])
    }

    private struct Key: Hashable {
        let egress: Int
        let destination: TransportAddress
    }

    private func fill(_ queue: inout SendQueue, using generator: inout SeededGenerator) -> [Entry] {
        let flowCount = [1, 3, 20, 128].randomElement(using: &generator) ?? 1
        var entries: [Entry] = []
        for number in 0..<Int.random(in: 1...SendQueue.capacity, using: &generator) {
            let flow = UInt64.random(in: 0..<UInt64(flowCount), using: &generator)
            let destination = TransportAddress(IPAddress(v6High: 0x2001, low: flow / 3), port: UInt16(flow))
            let entry = Entry(
                number: number, egress: Int(flow % 7), destination: destination,
                size: [0, 10, 10, 10, 1_000, 65_000].randomElement(using: &generator) ?? 0)
            var datagram = QueuedDatagram()
            datagram.offset = number
            datagram.payloadByteCount = entry.size
            queue.append(datagram, from: entry.egress, owner: entry.egress / 2, to: destination)
            entries.append(entry)
        }
        return entries
    }

    /// Everything in the order of sending; the rules of a run are checked on the way.
    private func drain(_ queue: borrowing SendQueue) -> [Entry] {
        var entries: [Entry] = []
        for index in 0..<queue.outletCount {
            var flow = queue.outlet(index).firstFlow
            while flow >= 0 {
                #expect(queue.flow(flow).egress / 2 == queue.outlet(index).owner)
                var next = queue.flow(flow).first
                while next >= 0 {
                    let run = queue.run(from: next, segmentLimit: 65_000)
                    #expect((1...64).contains(run.count))
                    var total = 0
                    var member = next
                    for position in 0..<run.count {
                        let datagram = queue.datagram(member)
                        total += datagram.byteCount
                        #expect(
                            datagram.byteCount == run.segmentByteCount
                                || position == run.count - 1 && datagram.byteCount < run.segmentByteCount)
                        entries.append(
                            Entry(
                                number: datagram.offset, egress: queue.flow(flow).egress,
                                destination: queue.flow(flow).destination, size: datagram.byteCount))
                        member = datagram.next
                    }
                    #expect(member == run.next)
                    #expect(total <= 65_000)
                    next = run.next
                }
                flow = queue.flow(flow).next
            }
        }
        return entries
    }

    private func append(
        _ size: Int, to queue: inout SendQueue, change: (inout QueuedDatagram) -> Void = { _ in }
    ) {
        var datagram = QueuedDatagram()
        datagram.payloadByteCount = size
        change(&datagram)
        queue.append(datagram, from: 0, owner: 0, to: TransportAddress(IPAddress(v4: 1), port: 1))
    }

    private func runCounts(of queue: borrowing SendQueue, segmentLimit: Int) -> [Int] {
        var counts: [Int] = []
        var next = queue.flow(0).first
        while next >= 0 {
            let run = queue.run(from: next, segmentLimit: segmentLimit)
            counts.append(run.count)
            next = run.next
        }
        return counts
    }
}
