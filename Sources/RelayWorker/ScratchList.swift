public import RelayCore

/// A list that is filled and emptied every turn. Emptying touches nothing, and its room is kept.
@usableFromInline
struct ScratchList<Element: BitwiseCopyable> {
    @usableFromInline var elements: [Element] = []
    @usableFromInline var count = 0

    @usableFromInline
    init() { elements.reserveCapacity(256) }

    @inlinable
    subscript(position: Int) -> Element {
        precondition(position < count)
        return elements[position]
    }

    @inlinable
    mutating func append(_ element: Element) {
        if count < elements.count {
            elements[count] = element
        } else {
            elements.append(element)
        }
        count += 1
    }

    @inlinable
    mutating func removeAll() { count = 0 }
}

/// A datagram of the batch and how it leaves.
@usableFromInline
struct Departing: BitwiseCopyable {
    @usableFromInline let index: Int
    @usableFromInline let hop: Hop

    @inlinable
    init(index: Int, hop: Hop) {
        self.index = index
        self.hop = hop
    }
}
