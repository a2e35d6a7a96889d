import Glibc
import SystemPackage

/// A file of secrets, one a line. It must not be readable by others.
enum SecretFile {
    /// - Parameter key: the option that named the file, for the messages.
    static func read(_ path: String, for key: OptionKey) throws(OptionProblem) -> [String] {
        var status = stat()
        guard stat(path, &status) == 0 else {
            throw OptionProblem("\(key.rawValue): \(path) cannot be read: \(Errno(rawValue: errno))")
        }
        guard status.st_mode & 0o007 == 0 else {
            throw OptionProblem(
                "\(key.rawValue): \(path) can be read by every user of this host; run chmod o-rwx \(path)")
        }
        do {
            let secrets = try TextFile.read(path).split(whereSeparator: \.isNewline)
                .map { $0.trimmed }.filter { !$0.isEmpty }
            guard !secrets.isEmpty else { throw OptionProblem("\(key.rawValue): \(path) has no secret in it") }
            return secrets
        } catch let problem as OptionProblem {
            throw problem
        } catch {
            throw OptionProblem("\(key.rawValue): \(path) cannot be read: \(error)")
        }
    }
}

/// Reads a whole file as UTF-8.
enum TextFile {
    static func read(_ path: String) throws(Errno) -> String {
        do {
            let file = try FileDescriptor.open(FilePath(path), .readOnly)
            return try file.closeAfter {
                var bytes: [UInt8] = []
                var buffer = [UInt8](repeating: 0, count: 16 * 1024)
                while true {
                    let count = try buffer.withUnsafeMutableBytes { try file.read(into: $0) }
                    guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
                    bytes.append(contentsOf: buffer[..<count])
                }
            }
        } catch let error as Errno {
            throw error
        } catch {
            preconditionFailure("reading a file threw \(error)")
        }
    }
}

extension Substring {
    /// Without the white space at both ends.
    fileprivate var trimmed: String {
        let head = drop { $0.isWhitespace }
        return String(head.reversed().drop { $0.isWhitespace }.reversed())
    }
}
