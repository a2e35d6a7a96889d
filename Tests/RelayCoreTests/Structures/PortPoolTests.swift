import Testing

@testable import RelayCore

@Suite struct PortPoolTests {
    static let epoch = Instant(nanoseconds: 1_000_000_000)

    /// Small ranges with each parity at both ends, up to three words of the bitmap long.
    static let ranges: [ClosedRange<UInt16>] = [
        1...1, 2...2, 1...2, 2...3, 1...6, 2...9, 63...64, 60...70, 101...260, 65_530...65_535, 65_535...65_535,
    ]

    private static func isOwn(_ port: UInt16, _ worker: Int, _ workerCount: Int) -> Bool {
        Int(port >> 1) % workerCount == worker
    }

    private static func fits(_ port: UInt16, _ shape: PortPool.Shape, in free: Set<UInt16>) -> Bool {
        switch shape {
        case .any: free.contains(port)
        case .even: port % 2 == 0 && free.contains(port)
        case .evenPairLow: port % 2 == 0 && free.contains(port) && free.contains(port + 1)
        }
    }

    private static func ports(_ low: UInt16, _ shape: PortPool.Shape) -> [UInt16] {
        shape == .evenPairLow ? [low, low + 1] : [low]
    }

    @Test("Every port of a small range is found, the worker's own first, and no other", arguments: ranges, 1...4)
    func exhaustsSmallRanges(range: ClosedRange<UInt16>, workerCount: Int) {
        var generator = SplitMix64(seed: structureSeed)
        for worker in 0..<workerCount {
            for shape in [PortPool.Shape.any, .even, .evenPairLow] {
                var pool = PortPool(ports: range, worker: worker, of: workerCount)
                var free = Set(range)
                let wanted = free.filter { Self.fits($0, shape, in: free) }
                var taken: [UInt16] = []
                while let port = pool.take(shape, at: Self.epoch, using: &generator) {
                    guard Self.fits(port, shape, in: free) else {
                        Issue.record("\(port) is not free for \(shape), \(structureSeedNote)")
                        return
                    }
                    free.subtract(Self.ports(port, shape))
                    taken.append(port)
                }
                let own = taken.map { Self.isOwn($0, worker, workerCount) }
                #expect(Set(taken) == wanted, "\(structureSeedNote)")
                #expect(own == own.sorted { $0 && !$1 }, "own ports first, \(structureSeedNote)")
            }
        }
    }

    @Test("Random operations agree with a set of free ports", arguments: ranges, 1...3)
    func agreesWithSet(range: ClosedRange<UInt16>, workerCount: Int) {
        var generator = SplitMix64(seed: structureSeed)
        var pool = PortPool(ports: range, worker: workerCount - 1, of: workerCount)
        var free = Set(range)
        var taken: [UInt16] = []
        var busy: [UInt16: Instant] = [:]
        var now = Self.epoch
        for step in 0..<3_000 {
            now = now.advanced(byMilliseconds: UInt64.random(in: 0...2_000, using: &generator))
            for (port, until) in busy where until <= now {
                free.insert(port)
                busy[port] = nil
            }
            var agrees = true
            switch Int.random(in: 0..<8, using: &generator) {
            case 0..<4:
                let shape = [PortPool.Shape.any, .even, .evenPairLow].randomElement(using: &generator) ?? .any
                let fitting = free.filter { Self.fits($0, shape, in: free) }
                let own = fitting.filter { Self.isOwn($0, workerCount - 1, workerCount) }
                if let port = pool.take(shape, at: now, using: &generator) {
                    agrees = (own.isEmpty ? fitting : own).contains(port)
                    free.subtract(Self.ports(port, shape))
                    taken += Self.ports(port, shape)
                } else {
                    agrees = fitting.isEmpty
                }
            case 4:
                // Ports beside the range are never to be had.
                let port = UInt16.random(in: range.lowerBound - 1...range.upperBound, using: &generator)
                agrees = pool.takeSpecific(port, at: now) == free.contains(port)
                if free.remove(port) != nil { taken.append(port) }
            case 5:
                guard let index = taken.indices.randomElement(using: &generator) else { continue }
                let port = taken.remove(at: index)
                busy[port] = now.advanced(bySeconds: 30)
                pool.markBusy(port, until: now.advanced(bySeconds: 30))
            default:
                guard let index = taken.indices.randomElement(using: &generator) else { continue }
                let port = taken.remove(at: index)
                free.insert(port)
                pool.giveBack(port)
            }
            guard agrees else {
                Issue.record("step \(step), free \(free.sorted()), \(structureSeedNote)")
                return
            }
        }
    }

    @Test("A busy port comes back after its time, not before")
    func busyPortsLapse() {
        var generator = SplitMix64(seed: 1)
        var pool = PortPool(ports: 50_000...50_000, worker: 0, of: 1)
        let until = Self.epoch.advanced(bySeconds: 30)
        #expect(pool.take(.any, at: Self.epoch, using: &generator) == 50_000)
        pool.markBusy(50_000, until: until)
        #expect(pool.take(.any, at: Instant(nanoseconds: until.nanoseconds - 1), using: &generator) == nil)
        #expect(pool.takeSpecific(50_000, at: Instant(nanoseconds: until.nanoseconds - 1)) == false)
        #expect(pool.take(.any, at: until, using: &generator) == 50_000)
    }

    /// 20 ports at the end of a nearly full range: random draws rarely hit them, the choice by rank finds them.
    @Test("Each free port is equally likely, in an empty pool and in a nearly full one", arguments: [true, false])
    func isUniform(nearlyFull: Bool) {
        var generator = SplitMix64(seed: 11)
        let range: ClosedRange<UInt16> = nearlyFull ? 40_000...43_999 : 40_000...40_039
        var pool = PortPool(ports: range, worker: 1, of: 2)
        if nearlyFull {
            for port in range where port < 43_960 { #expect(pool.takeSpecific(port, at: Self.epoch) == true) }
        }
        var counts: [UInt16: Int] = [:]
        for _ in 0..<20_000 {
            guard let port = pool.take(.any, at: Self.epoch, using: &generator) else { break }
            counts[port, default: 0] += 1
            pool.giveBack(port)
        }
        #expect(counts.count == 20)
        // 1,000 expected, standard deviation 31.
        #expect(counts.values.allSatisfy { (850...1_150).contains($0) }, "\(counts)")
    }

    @Test("The whole port space")
    func wholeRange() {
        var generator = SplitMix64(seed: 2)
        var pool = PortPool(ports: 1...65_535, worker: 0, of: 1)
        var taken: Set<UInt16> = []
        while let port = pool.take(.any, at: Self.epoch, using: &generator) {
            guard taken.insert(port).inserted else {
                Issue.record("\(port) was taken twice")
                return
            }
        }
        #expect(taken.count == 65_535)
    }
}
