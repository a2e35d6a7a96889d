/// The name of one element in the life of a ``Pool``: a place, and how often that place had been used before.
struct PoolHandle: Hashable, Sendable, BitwiseCopyable {
    let index: UInt32
    let generation: UInt32
}

/// A slab of elements that keep their place: insertion and removal are O(1), and a handle outlives its element
/// without ever naming another one (until a place has been used 2^32 times).
///
/// Elements are changed in place; growing moves them, it does not copy them. Removed places are used again, last in
/// first out, and the slab never shrinks.
struct Pool<Element>: ~Copyable {
    typealias Handle = PoolHandle

    private struct Place {
        var generation: UInt32
        /// The next free place, while this one is free.
        var nextFree: UInt32
        var element: Element?
    }

    private static var none: UInt32 { UInt32.max }

    private var places: ContiguousArray<Place> = []
    private var freeHead = UInt32.max
    /// How many elements are present.
    private(set) var count = 0

    init(minimumCapacity: Int = 0) {
        places.reserveCapacity(minimumCapacity)
    }

    /// Keeps `element` until it is removed.
    mutating func insert(_ element: Element) -> Handle {
        count += 1
        guard freeHead != Self.none else {
            precondition(places.count < Int(Self.none), "more elements than a pool can name")
            places.append(Place(generation: 0, nextFree: Self.none, element: element))
            return Handle(index: UInt32(places.count - 1), generation: 0)
        }
        let index = freeHead
        freeHead = places[Int(index)].nextFree
        places[Int(index)].element = element
        return Handle(index: index, generation: places[Int(index)].generation)
    }

    /// The element at a place that is in use.
    subscript(index: UInt32) -> Element {
        // Coroutines, and the optional opened in place: a copy would retain what the element holds, and a changed
        // copy would copy its arrays.
        _read {
            precondition(places[Int(index)].element != nil, "no element at \(index)")
            // swift-format-ignore: NeverForceUnwrap
            yield places[Int(index)].element!
        }
        _modify {
            precondition(places[Int(index)].element != nil, "no element at \(index)")
            // swift-format-ignore: NeverForceUnwrap
            yield &places[Int(index)].element!
        }
    }

    /// Whether the element that `handle` was given for is still present.
    func isLive(_ handle: Handle) -> Bool {
        guard Int(handle.index) < places.count else { return false }
        return places[Int(handle.index)].generation == handle.generation && places[Int(handle.index)].element != nil
    }

    /// How many places there are, free ones included.
    var placeCount: UInt32 { UInt32(places.count) }

    /// Whether there is an element at a place.
    func isUsed(_ index: UInt32) -> Bool {
        Int(index) < places.count && places[Int(index)].element != nil
    }

    /// Gives back the element of a live handle and frees its place; nothing for a handle that is not live.
    mutating func remove(_ handle: Handle) -> Element? {
        guard isLive(handle) else { return nil }
        let index = Int(handle.index)
        let element = places[index].element.take()
        places[index].generation &+= 1
        places[index].nextFree = freeHead
        freeHead = handle.index
        count -= 1
        return element
    }

    /// The handle of the element at a place that is in use.
    func handle(at index: UInt32) -> Handle {
        precondition(places[Int(index)].element != nil, "no element at \(index)")
        return Handle(index: index, generation: places[Int(index)].generation)
    }

    /// Takes out the element at a place that is in use.
    mutating func remove(at index: UInt32) -> Element {
        guard let element = remove(handle(at: index)) else { preconditionFailure("no element at \(index)") }
        return element
    }

    /// Calls `body` with every element, in order of place.
    func forEach(_ body: (Handle, borrowing Element) -> Void) {
        for index in places.indices {
            guard let element = places[index].element else { continue }
            body(Handle(index: UInt32(index), generation: places[index].generation), element)
        }
    }
}
