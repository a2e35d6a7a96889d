import CLinux

/// What a start leaves behind in memory.
public enum StartupMemory {
    /// Gives back the pages of code that only start-up needed. To be called once, when the relay runs.
    public static func release() { clinux_release_startup_pages() }
}
