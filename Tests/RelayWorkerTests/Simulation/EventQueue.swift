import RelayCore

/// What is to happen, by time; of the same time in order of arrival. A binary heap.
struct EventQueue<Event> {
    private struct Entry {
        let due: Instant
        let order: UInt64
        let event: Event

        func isBefore(_ other: Entry) -> Bool { (due, order) < (other.due, other.order) }
    }

    private var heap: [Entry] = []
    private var added: UInt64 = 0

    /// When the next event is due.
    var next: Instant? { heap.first?.due }

    mutating func add(_ event: Event, at due: Instant) {
        heap.append(Entry(due: due, order: added, event: event))
        added += 1
        var child = heap.count - 1
        while child > 0, heap[child].isBefore(heap[(child - 1) / 2]) {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func pop() -> (event: Event, due: Instant)? {
        guard !heap.isEmpty else { return nil }
        heap.swapAt(0, heap.count - 1)
        let entry = heap.removeLast()
        var parent = 0
        while let child = earlierChild(of: parent), heap[child].isBefore(heap[parent]) {
            heap.swapAt(child, parent)
            parent = child
        }
        return (entry.event, entry.due)
    }

    private func earlierChild(of parent: Int) -> Int? {
        let (left, right) = (2 * parent + 1, 2 * parent + 2)
        guard left < heap.count else { return nil }
        return right < heap.count && heap[right].isBefore(heap[left]) ? right : left
    }
}
