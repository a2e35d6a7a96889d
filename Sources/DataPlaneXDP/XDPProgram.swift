// Unsafe code: libbpf takes pointers, and the maps are memory shared with the kernel. The object and the mappings
// belong to one instance of this class and are given back in its deinit, after which nothing holds them.

import CBPF
import CRelayABI
import RelayWorker

/// The program in the kernel with its maps. Not attached to anything yet.
@safe
final class XDPProgram: @unchecked Sendable {
    /// How large the maps are.
    struct Sizes: Sendable, Equatable {
        /// Routes that can be in the kernel at once.
        let routes: Int
        /// Rates that can be counted there at once, each in both directions.
        let meters: Int

        /// - Parameter meters: without it, enough for every route to have an allocation and a user of its own.
        init(routes: Int, meters: Int? = nil) {
            self.routes = routes
            self.meters = meters ?? 2 * routes
        }

        /// Slots of the table: a power of two, at most half of them used (each route takes two), so that neighbourhoods
        /// hardly ever fill up.
        var slots: Int {
            var slots = Int(RELAY_PROBES)
            while slots < routes * 4 { slots *= 2 }
            return slots
        }

        /// Of the map: an entry and its IPv6 addresses for each slot.
        var elements: Int { 2 * slots }

        /// Of the map of meters: both directions, and none.
        var meterElements: Int { 2 * (meters + 1) }

        /// What the maps take of the kernel's memory.
        var mapByteCount: Int {
            MemoryLayout<relay_entry>.stride * elements + MemoryLayout<relay_next_hop>.stride * Int(RELAY_NEXT_HOPS)
                + MemoryLayout<relay_meter>.stride * meterElements
        }
    }

    let sizes: Sizes
    /// What the verifier said: instructions that it looked at, depth of the stack.
    let verifierLog: String
    let program: Int32
    let passProgram: Int32
    private let object: OpaquePointer
    private let clockProgram: Int32
    private let deviceMap: Int32
    private let cpuCount: Int
    let entries: UnsafeMutablePointer<relay_entry>
    let nextHops: UnsafeMutablePointer<relay_next_hop>
    let meters: UnsafeMutablePointer<relay_meter>
    private let settings: UnsafeMutablePointer<relay_settings>
    private let counters: UnsafeMutablePointer<relay_counters>

    /// Has the kernel verify and translate the program, and shares its maps' memory.
    ///
    /// - Parameter elf: the object; one that measures has programs besides.
    init(sizes: Sizes, elf: [UInt8] = ProgramObject.bytes) throws(PlaneError) {
        self.sizes = sizes
        cpuCount = max(1, Int(cbpf_possible_cpus()))
        var error: Int32 = 0
        guard let object = unsafe elf.withUnsafeBytes({ unsafe cbpf_open($0.baseAddress, $0.count, &error) }) else {
            throw Self.refusal("opening the XDP program", error, "")
        }
        unsafe self.object = object
        var log = [CChar](repeating: 0, count: 64 * 1024)
        error = unsafe cbpf_set_entries(object, "relay_entries", UInt32(sizes.elements))
        if error == 0 { error = unsafe cbpf_set_entries(object, "relay_meters", UInt32(sizes.meterElements)) }
        if error == 0 { error = unsafe cbpf_set_entries(object, "relay_counters", UInt32(cpuCount)) }
        if error == 0 { error = unsafe cbpf_load(object, &log, log.count) }
        verifierLog = String(decoding: log.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        guard error == 0 else {
            unsafe cbpf_close(object)
            throw Self.refusal("loading the XDP program", error, verifierLog)
        }
        program = unsafe cbpf_program(object, "relay_xdp")
        passProgram = unsafe cbpf_program(object, "relay_pass")
        clockProgram = unsafe cbpf_program(object, "relay_clock")
        deviceMap = unsafe cbpf_map(object, "relay_devices")
        do throws(PlaneError) {
            unsafe entries = try Self.share(object, "relay_entries", of: relay_entry.self, count: sizes.elements)
            unsafe nextHops = try Self.share(
                object, "relay_next_hops", of: relay_next_hop.self, count: Int(RELAY_NEXT_HOPS))
            unsafe meters = try Self.share(object, "relay_meters", of: relay_meter.self, count: sizes.meterElements)
            unsafe settings = try Self.share(object, "relay_settings", of: relay_settings.self, count: 1)
            unsafe counters = try Self.share(object, "relay_counters", of: relay_counters.self, count: cpuCount)
        } catch {
            // Mappings that were made live as long as the process; this happens once, at a start that fails.
            unsafe cbpf_close(object)
            throw error
        }
    }

    deinit {
        unsafe cbpf_unshare(entries, MemoryLayout<relay_entry>.stride * sizes.elements)
        unsafe cbpf_unshare(nextHops, MemoryLayout<relay_next_hop>.stride * Int(RELAY_NEXT_HOPS))
        unsafe cbpf_unshare(meters, MemoryLayout<relay_meter>.stride * sizes.meterElements)
        unsafe cbpf_unshare(settings, MemoryLayout<relay_settings>.stride)
        unsafe cbpf_unshare(counters, MemoryLayout<relay_counters>.stride * cpuCount)
        unsafe cbpf_close(object)
    }

    /// The descriptor of another program, or map, of the object.
    func descriptor(ofProgram name: String) -> Int32 { unsafe cbpf_program(object, name) }
    func descriptor(ofMap name: String) -> Int32 { unsafe cbpf_map(object, name) }

    /// Puts the settings into force; the magic number comes last.
    func configure(_ values: relay_settings) {
        unsafe cbpf_publish_magic(settings, 0)
        var written = values
        written.magic = 0
        written.version = RELAY_ABI_VERSION
        written.slot_mask = UInt32(sizes.slots - 1)
        unsafe settings.pointee = written
        unsafe cbpf_publish_magic(settings, RELAY_MAGIC)
    }

    /// Has the program pass everything from now on.
    func disable() { unsafe cbpf_publish_magic(settings, 0) }

    /// What became of the frames so far, over all CPUs.
    func count(of reason: UInt32) -> (packets: UInt64, bytes: UInt64) {
        precondition(reason < RELAY_REASONS.rawValue, "there is no reason \(reason)")
        var total = (packets: UInt64(0), bytes: UInt64(0))
        for cpu in 0..<cpuCount {
            total.packets &+= unsafe cbpf_packets(counters + cpu, reason)
            total.bytes &+= unsafe cbpf_bytes(counters + cpu, reason)
        }
        return total
    }

    /// The kernel's clock, `jiffies64`.
    func ticks() throws(PlaneError) -> UInt64 {
        let packet = [UInt8](repeating: 0, count: 64)
        var result = packet
        let error = unsafe packet.withUnsafeBytes { packet in
            unsafe result.withUnsafeMutableBytes { result in
                var run = unsafe cbpf_run()
                unsafe run.packet = packet.baseAddress
                unsafe run.packet_byte_count = UInt32(packet.count)
                unsafe run.result = result.baseAddress
                unsafe run.result_byte_count = UInt32(result.count)
                unsafe run.repeat = 1
                return unsafe cbpf_test(clockProgram, &run)
            }
        }
        guard error == 0 else { throw Self.refusal("reading the kernel's clock", error, "") }
        return unsafe result.withUnsafeBytes { unsafe $0.loadUnaligned(as: UInt64.self) }
    }

    /// Lets frames leave through an interface that they did not come in on.
    func addDevice(_ interface: UInt32) -> Int32 { cbpf_add_device(deviceMap, interface) }

    func removeDevice(_ interface: UInt32) { _ = cbpf_remove_device(deviceMap, interface) }

    private static func share<Element>(
        _ object: OpaquePointer, _ name: String, of type: Element.Type, count: Int
    ) throws(PlaneError) -> UnsafeMutablePointer<Element> {
        var error: Int32 = 0
        guard
            let memory = unsafe cbpf_share(
                cbpf_map(object, name), MemoryLayout<Element>.stride * count, &error)
        else { throw refusal("sharing the memory of the map \(name)", error, "") }
        return unsafe memory.bindMemory(to: type, capacity: count)
    }

    /// What a refusal of the kernel most likely means.
    static func refusal(_ what: String, _ error: Int32, _ log: String) -> PlaneError {
        let number = error < 0 ? -error : error
        let missing = LoadingCapability.missing(from: .effective)
        if let first = missing.first, number == 1 || number == 13 {
            return PlaneError(
                what: what, why: missing.map(\.reason).joined(separator: "; "),
                mend: "Run as root, or grant \(first.mend(with: missing.dropFirst())).")
        }
        let mend =
            switch number {
            case 1, 13: "In a container its seccomp profile must allow bpf(), and root must be the host's."
            case 12: "Give it more memory: --xdp-routes makes the maps smaller, LimitMEMLOCK=infinity lifts the limit."
            case 22, 38, 95: "\(KernelRelease.oldest) or newer is needed, with CONFIG_BPF_SYSCALL and CONFIG_BPF_JIT."
            default: "relayd doctor says what this host allows."
            }
        let said = log.split(separator: "\n").suffix(2).joined(separator: "; ")
        return PlaneError(
            what: what, why: String(systemErrorNumber: number) + (said.isEmpty ? "" : " (\(said))"), mend: mend)
    }
}

extension ProgramObject {
    /// The ELF object.
    static var bytes: [UInt8] {
        hexadecimal.withUTF8Buffer { text in
            stride(from: 0, to: text.count, by: 2).map { at in
                unsafe digit(text[at]) << 4 | digit(text[at + 1])
            }
        }
    }

    private static func digit(_ character: UInt8) -> UInt8 {
        character >= UInt8(ascii: "a") ? character - UInt8(ascii: "a") + 10 : character - UInt8(ascii: "0")
    }
}
