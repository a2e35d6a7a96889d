import Testing

@testable import RelayCore

@Suite struct PoolTests {
    final class Box {
        var number: Int
        init(_ number: Int) { self.number = number }
    }

    struct Element {
        var box: Box
        var list: [Int] = []
    }

    @Test("Random operations agree with a dictionary, and an old handle stays dead")
    func agreesWithDictionary() {
        var generator = SplitMix64(seed: structureSeed)
        var pool = Pool<String>()
        var live: [PoolHandle: String] = [:]
        var dead: Set<PoolHandle> = []
        for step in 0..<50_000 {
            switch Int.random(in: 0..<5, using: &generator) {
            case 0, 1:
                let text = "element \(step)"
                let handle = pool.insert(text)
                guard live.updateValue(text, forKey: handle) == nil, !dead.contains(handle) else {
                    Issue.record("step \(step): \(handle) was given before, \(structureSeedNote)")
                    return
                }
            case 2, 3:
                guard let handle = live.keys.randomElement(using: &generator) else { continue }
                guard pool.remove(handle) == live.removeValue(forKey: handle), pool.remove(handle) == nil else {
                    Issue.record("step \(step): \(handle) removed wrongly, \(structureSeedNote)")
                    return
                }
                dead.insert(handle)
            default:
                guard let handle = live.keys.randomElement(using: &generator) else { continue }
                pool[handle.index] += "!"
                live[handle]? += "!"
            }
        }
        #expect(pool.count == live.count, "\(structureSeedNote)")
        for (handle, text) in live {
            #expect(pool.isLive(handle) == true, "\(structureSeedNote)")
            #expect(pool[handle.index] == text, "\(structureSeedNote)")
        }
        for handle in dead where pool.isLive(handle) { Issue.record("\(handle) lives, \(structureSeedNote)") }
        var found: [PoolHandle: String] = [:]
        pool.forEach { found[$0] = $1 }
        #expect(found == live, "\(structureSeedNote)")
    }

    @Test("Places are used again")
    func reusesPlaces() {
        var pool = Pool<Int>()
        let handles = (0..<10).map { pool.insert($0) }
        for handle in handles { #expect(pool.remove(handle) == Int(handle.index)) }
        let again = (0..<10).map { pool.insert($0) }
        #expect(Set(again.map(\.index)) == Set(handles.map(\.index)))
        #expect(Set(again).isDisjoint(with: handles))
        #expect(pool.isLive(PoolHandle(index: 10, generation: 0)) == false)
    }

    @Test("An element is changed in its place, without a second reference to what it holds")
    func changesInPlace() {
        func isUnique(_ element: inout Element) -> Bool { isKnownUniquelyReferenced(&element.box) }
        func storage(_ element: borrowing Element) -> UInt {
            element.list.withUnsafeBytes { UInt(bitPattern: $0.baseAddress) }
        }
        var pool = Pool<Element>()
        var first = Element(box: Box(1))
        first.list.reserveCapacity(1_000)
        let handle = pool.insert(first)
        first = Element(box: Box(0))
        let before = storage(pool[handle.index])
        // Growth moves the elements; it must not leave copies behind.
        for number in 0..<1_000 { _ = pool.insert(Element(box: Box(number))) }
        #expect(isUnique(&pool[handle.index]))
        for number in 0..<1_000 { pool[handle.index].list.append(number) }
        #expect(storage(pool[handle.index]) == before)
        #expect(pool[handle.index].list.count == 1_000)
    }

    @Test("A removed element is let go")
    func releasesElement() {
        var pool = Pool<Element>()
        weak var box: Box?
        let handle: PoolHandle
        do {
            let strong = Box(1)
            box = strong
            handle = pool.insert(Element(box: strong))
        }
        #expect(box != nil)
        _ = pool.remove(handle)
        #expect(box == nil)
    }
}
