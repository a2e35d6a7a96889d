import Foundation

/// A file that lives as long as this object.
final class TemporaryFile {
    let path: String

    /// - Parameter mode: the permission bits, set after writing.
    init(_ text: String, mode: Int = 0o600) throws {
        path = FileManager.default.temporaryDirectory.appending(path: "relayd-test-\(UUID()).txt").path
        try text.write(toFile: path, atomically: false, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
}
