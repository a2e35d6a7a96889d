/// The name of a living allocation in a whole relay: `WORKER-PLACE-GENERATION`, such as `0-12-3`. No other allocation
/// ever has the same one (until a place has been used 2^32 times). Sorted as they are listed: by worker, then by place.
public struct SessionID: Sendable, Hashable, Comparable, LosslessStringConvertible {
    public let worker: Int
    public let allocation: AllocationID

    init(worker: Int, _ handle: PoolHandle) {
        self.worker = worker
        allocation = AllocationID(index: handle.index, generation: handle.generation)
    }

    public init?(_ text: String) {
        let numbers = text.split(separator: "-", omittingEmptySubsequences: false).map { part in
            part.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ? UInt32(part) : nil
        }
        guard numbers.count == 3, let worker = numbers[0], let index = numbers[1], let generation = numbers[2] else {
            return nil
        }
        self.worker = Int(worker)
        allocation = AllocationID(index: index, generation: generation)
    }

    public var description: String { "\(worker)-\(allocation.index)-\(allocation.generation)" }

    /// The place of its allocation in its worker, and where a list goes on behind it.
    public var place: UInt32 { allocation.index }

    public static func < (left: SessionID, right: SessionID) -> Bool {
        (left.worker, left.allocation.index, left.allocation.generation)
            < (right.worker, right.allocation.index, right.allocation.generation)
    }
}
