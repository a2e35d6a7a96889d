import Dispatch
import RelayWorker

/// Notices that the host got or lost an address: the kernel says so over netlink.
final class HostAddressWatch: @unchecked Sendable {
    private let descriptor: Int32
    private let queue = DispatchQueue(label: "relayd.addresses", qos: .utility)
    private let source: any DispatchSourceRead
    private let changed: @Sendable () -> Void
    // Only touched on the queue.
    private var isWaiting = false
    /// An interface that comes brings several.
    private static let pause = DispatchTimeInterval.milliseconds(20)

    /// - Parameter changed: called on a queue of the watch, once for all changes of a moment.
    init(changed: @escaping @Sendable () -> Void) throws(SocketError) {
        self.changed = changed
        let descriptor = try AddressNotices.open()
        self.descriptor = descriptor
        source = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: queue)
        source.setCancelHandler { AddressNotices.close(descriptor) }
        source.setEventHandler { [weak self] in self?.drain() }
        source.activate()
    }

    deinit { source.cancel() }

    private func drain() {
        AddressNotices.drain(descriptor)
        guard !isWaiting else { return }
        isWaiting = true
        queue.asyncAfter(deadline: .now() + Self.pause) { [weak self] in
            self?.isWaiting = false
            self?.changed()
        }
    }
}
