import Glibc

/// What the kernel says about this process, under the names that Prometheus clients use.
struct ProcessFigures {
    var cpuSeconds = 0.0
    var residentBytes: UInt64 = 0
    var virtualBytes: UInt64 = 0
    var openDescriptors: UInt64 = 0
    var maximumDescriptors: UInt64 = 0
    var threads: UInt64 = 0
    var startTimeSeconds = 0.0

    static func read() -> ProcessFigures {
        var figures = ProcessFigures()
        figures.readStat()
        var limit = rlimit()
        if getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 {
            figures.maximumDescriptors = UInt64(limit.rlim_cur)
        }
        figures.openDescriptors = countOpenDescriptors()
        return figures
    }

    /// proc(5): `/proc/self/stat`, the fields behind the name in parentheses; the first of them is number 3.
    private mutating func readStat() {
        guard let text = try? TextFile.read("/proc/self/stat"), let end = text.lastIndex(of: ")") else { return }
        let fields = text[text.index(after: end)...].split(separator: " ").map(String.init)
        guard fields.count > 21 else { return }
        let ticks = Double(sysconf(Int32(_SC_CLK_TCK)))
        cpuSeconds = ((Double(fields[11]) ?? 0) + (Double(fields[12]) ?? 0)) / ticks
        threads = UInt64(fields[17]) ?? 0
        startTimeSeconds = bootTimeSeconds() + (Double(fields[19]) ?? 0) / ticks
        virtualBytes = UInt64(fields[20]) ?? 0
        residentBytes = (UInt64(fields[21]) ?? 0) * UInt64(sysconf(Int32(_SC_PAGESIZE)))
    }

    private func bootTimeSeconds() -> Double {
        guard let text = try? TextFile.read("/proc/stat") else { return 0 }
        let line = text.split(separator: "\n").first { $0.hasPrefix("btime ") }
        return line.flatMap { Double($0.dropFirst("btime ".count)) } ?? 0
    }

    private static func countOpenDescriptors() -> UInt64 {
        guard let folder = opendir("/proc/self/fd") else { return 0 }
        defer { closedir(folder) }
        var count: UInt64 = 0
        while readdir(folder) != nil { count += 1 }
        // ".", ".." and the descriptor that reads the folder.
        return count > 3 ? count - 3 : 0
    }

    func write(to page: inout MetricsText) {
        page.begin("process_cpu_seconds_total", .counter, "User and system time, in seconds.")
        page.sample("process_cpu_seconds_total", [], cpuSeconds)
        page.single("process_resident_memory_bytes", .gauge, "Resident memory, in bytes.", residentBytes)
        page.single("process_virtual_memory_bytes", .gauge, "Virtual memory, in bytes.", virtualBytes)
        page.single("process_open_fds", .gauge, "Open file descriptors.", openDescriptors)
        page.single("process_max_fds", .gauge, "The limit of open file descriptors.", maximumDescriptors)
        page.single("process_threads", .gauge, "Threads.", threads)
        page.begin("process_start_time_seconds", .gauge, "When the process started, in seconds since 1970.")
        page.sample("process_start_time_seconds", [], startTimeSeconds)
    }
}
