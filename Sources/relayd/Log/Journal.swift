import Glibc
import Logging

/// systemd's journal, if it reads this process's standard error: it takes the severity of a line from `<N>` in front of
/// it (sd-daemon(3)).
enum Journal {
    /// Whether `JOURNAL_STREAM` names the file behind `descriptor`, as `DEVICE:INODE` (systemd.exec(5)).
    static func reads(_ descriptor: Int32, _ environment: [String: String]) -> Bool {
        guard let name = environment["JOURNAL_STREAM"] else { return false }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return false }
        return name == "\(status.st_dev):\(status.st_ino)"
    }

    /// The severity as syslog(3) numbers it.
    static func priority(of level: Logger.Level) -> Int {
        switch level {
        case .trace, .debug: 7
        case .info: 6
        case .notice: 5
        case .warning: 4
        case .error: 3
        case .critical: 2
        }
    }
}
