/// The name of a socket between the core, the worker and the plane: an index into the worker's `SocketSet`.
///
/// A listener that is bound to a wildcard address has one slot for each local address that clients used, so that
/// a slot always stands for one local transport address.
@frozen
public struct SocketSlot: Sendable, Hashable, BitwiseCopyable {
    public let index: UInt32

    @inlinable
    public init(index: UInt32) { self.index = index }
}
