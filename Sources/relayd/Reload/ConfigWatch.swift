import Dispatch
import FoundationEssentials
import Glibc
import Logging
import SystemPackage

/// Notices when a file has another content. The folders are watched, not the files: editors and `kubectl` put a new file
/// in the place of the old one, and a ConfigMap turns a symbolic link round.
final class ConfigWatch: @unchecked Sendable {
    private let descriptor: Int32
    private let queue = DispatchQueue(label: "relayd.watch", qos: .utility)
    private let source: any DispatchSourceRead
    private let changed: @Sendable () -> Void
    // Only touched on the queue.
    private var paths: [String]
    private var contents: [String?]
    private var isWaiting = false
    /// A writer may take several steps.
    private static let pause = DispatchTimeInterval.milliseconds(200)

    /// - Parameters:
    ///   - paths: the files; those that are missing may appear.
    ///   - changed: called on a queue of the watch, once a change.
    /// - Throws: the error of `inotify_init1`, where the user has too many of them.
    init(_ paths: [String], changed: @escaping @Sendable () -> Void) throws(Errno) {
        self.paths = paths
        self.changed = changed
        descriptor = inotify_init1(Int32(O_CLOEXEC | O_NONBLOCK))
        guard descriptor >= 0 else { throw Errno(rawValue: errno) }
        source = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: queue)
        contents = Self.read(paths)
        Self.watch(paths, descriptor)
        let descriptor = descriptor
        source.setCancelHandler { close(descriptor) }
        source.setEventHandler { [weak self] in self?.drain() }
        source.activate()
    }

    deinit { source.cancel() }

    /// Goes on with other files.
    func follow(_ paths: [String]) {
        queue.async {
            guard paths != self.paths else { return }
            self.paths = paths
            self.contents = Self.read(paths)
            Self.watch(paths, self.descriptor)
        }
    }

    private func drain() {
        var buffer = [UInt8](repeating: 0, count: 4096)
        while Glibc.read(descriptor, &buffer, buffer.count) > 0 {}
        guard !isWaiting else { return }
        isWaiting = true
        queue.asyncAfter(deadline: .now() + Self.pause) { [weak self] in self?.compare() }
    }

    private func compare() {
        isWaiting = false
        // Links may lead elsewhere now.
        Self.watch(paths, descriptor)
        let now = Self.read(paths)
        guard now != contents else { return }
        contents = now
        changed()
    }

    private static func read(_ paths: [String]) -> [String?] { paths.map { try? TextFile.read($0) } }

    /// The folder of each file, and the one that its link leads to. A folder that is watched already stays so.
    private static func watch(_ paths: [String], _ descriptor: Int32) {
        let mask = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE
        for path in paths {
            for folder in Set([folder(of: path), resolved(path).map { folder(of: $0) }].compactMap { $0 }) {
                _ = inotify_add_watch(descriptor, folder, UInt32(mask))
            }
        }
    }

    private static func folder(of path: String) -> String {
        let folder = FilePath(path).removingLastComponent().string
        return folder.isEmpty ? "." : folder
    }

    private static func resolved(_ path: String) -> String? {
        guard let found = realpath(path, nil) else { return nil }
        defer { free(found) }
        return String(cString: found)
    }
}
