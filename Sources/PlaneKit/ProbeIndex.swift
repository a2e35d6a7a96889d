/// A small open-addressing index from a hash to a number below 128. It never holds more than half of its places, so
/// even chosen addresses cost a bounded walk.
public struct ProbeIndex: ~Copyable {
    @usableFromInline static var placeCount: Int { 256 }
    @usableFromInline var places: FixedBuffer<Int16>

    /// An index without numbers.
    @inlinable
    public init() { places = FixedBuffer(repeating: -1, count: Self.placeCount) }

    /// Where the search for a hash begins.
    @inlinable
    public func start(_ hash: UInt64) -> Int { Int(hash >> 56) }

    /// Where it goes on.
    @inlinable
    public func after(_ place: Int) -> Int { (place + 1) & (Self.placeCount - 1) }

    /// The number in a place, if it holds one.
    @inlinable
    public subscript(place: Int) -> Int? { places[place] < 0 ? nil : Int(places[place]) }

    @inlinable
    public mutating func insert(_ number: Int, at place: Int) { places[place] = Int16(number) }

    /// Removes `number`. Only right when everything is removed before the next lookup.
    @inlinable
    public mutating func remove(_ hash: UInt64, in number: Int) {
        var place = start(hash)
        while Int(places[place]) != number { place = after(place) }
        places[place] = -1
    }
}
