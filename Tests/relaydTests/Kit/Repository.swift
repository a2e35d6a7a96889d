import Foundation

/// Files of this repository beside the sources.
enum Repository {
    static func text(_ path: String) throws -> String {
        try String(contentsOf: root.appending(path: path), encoding: .utf8)
    }

    /// Tests/relaydTests/Kit/Repository.swift, four steps up.
    private static let root = (0..<4).reduce(URL(filePath: #filePath)) { url, _ in url.deletingLastPathComponent() }
}
