import Glibc

/// The kernel's version, `6.1` of `6.1.0-18-amd64`.
struct KernelRelease: Comparable, CustomStringConvertible {
    let major: Int
    let minor: Int

    /// From here on a process without capabilities may attach, and ask about, a program that was loaded with them.
    static let oldest = KernelRelease(major: 5, minor: 19)

    init(major: Int, minor: Int) {
        self.major = major
        self.minor = minor
    }

    init?(_ text: String) {
        let numbers = text.split(whereSeparator: { !$0.isNumber }).prefix(2).compactMap { Int($0) }
        guard numbers.count == 2, text.first?.isNumber == true else { return nil }
        self.init(major: numbers[0], minor: numbers[1])
    }

    static var current: KernelRelease {
        var names = utsname()
        guard unsafe uname(&names) == 0 else { return KernelRelease(major: 0, minor: 0) }
        let text = unsafe withUnsafeBytes(of: names.release) { bytes in
            unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        return KernelRelease(text) ?? KernelRelease(major: 0, minor: 0)
    }

    static func < (left: KernelRelease, right: KernelRelease) -> Bool {
        (left.major, left.minor) < (right.major, right.minor)
    }

    var verdict: String {
        self < Self.oldest
            ? "kernel: \(self), too old: \(Self.oldest) or newer is needed" : "kernel: \(self), new enough"
    }

    var description: String { "Linux \(major).\(minor)" }
}
