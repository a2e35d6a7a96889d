import CBPF
import CRelayABI
import Glibc
import ReferenceRelay
import RelayCore
import STUN

@testable import DataPlaneXDP

/// The program in this kernel, not attached to anything, with routes in its table.
final class Kernel {
    let program: XDPProgram
    var table: SlotTable
    var meters: MeterTable
    private var nextHopCount: UInt16 = 1
    static let seed: UInt64 = 0x5EED

    /// `enum xdp_action` of linux/bpf.h.
    enum Verdict: UInt32 {
        case aborted, drop, pass, transmit, redirect
    }

    /// What became of one frame.
    struct Outcome: Equatable {
        let verdict: Verdict?
        let bytes: [UInt8]
    }

    /// Whether this process may load programs; the tests are skipped where it may not.
    static let isAvailable: Bool = (try? XDPProgram(sizes: XDPProgram.Sizes(routes: 1))) != nil
    static let reason = "loading BPF programs needs root, or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"

    /// An interface that is not loopback, for frames that leave elsewhere; 0 if there is none.
    static let otherInterface: UInt32 = {
        guard let interfaces = if_nameindex() else { return 0 }
        defer { if_freenameindex(interfaces) }
        var next = interfaces
        while next.pointee.if_index != 0 {
            if next.pointee.if_index != 1 { return next.pointee.if_index }
            next += 1
        }
        return 0
    }()

    init(
        routes: Int = 1024, flags: UInt32 = 0, relayPorts: ClosedRange<UInt16> = 49152...65535, elf: [UInt8]? = nil
    ) throws {
        let sizes = XDPProgram.Sizes(routes: routes)
        program = try elf.map { try XDPProgram(sizes: sizes, elf: $0) } ?? XDPProgram(sizes: sizes)
        table = SlotTable(program.entries, count: program.sizes.slots, seed: Self.seed)
        meters = MeterTable(program.meters, count: sizes.meters)
        if Self.otherInterface != 0 { _ = program.addDevice(Self.otherInterface) }
        var settings = relay_settings()
        settings.hash_seed = Self.seed
        settings.flags = flags
        settings.lowest_relay_port = relayPorts.lowerBound
        settings.highest_relay_port = relayPorts.upperBound
        settings.swap_mtu = 1500
        program.configure(settings)
    }

    func addNextHop(_ hop: ReferenceHop) -> UInt16 {
        var written = relay_next_hop()
        written.interface_index = hop.isElsewhere ? Self.otherInterface : 1
        written.mtu = UInt16(hop.mtu)
        withUnsafeMutableBytes(of: &written.destination) { $0.copyBytes(from: hop.destination) }
        withUnsafeMutableBytes(of: &written.source) { $0.copyBytes(from: hop.source) }
        program.nextHops[Int(nextHopCount)] = written
        defer { nextHopCount += 1 }
        return nextHopCount
    }

    /// Both directions of a route, with leases that are far away or over, held to its meters.
    @discardableResult
    func install(_ route: ReferenceRoute, relays: [IPAddress]) throws -> [SlotIndex] {
        let lease: UInt32 = route.isOver ? 1 : .max
        guard let upMeter = meters.hold(route.route.meters, .toPeer),
            let downMeter = meters.hold(route.route.meters, .toClient)
        else { throw Full() }
        let toPeer = Direction.toPeer(route.route).entry(
            lease: lease, nextHop: addNextHop(route.toPeer), meter: upMeter.index,
            flags: relays.contains(route.route.peer.ip) ? UInt8(RELAY_HAIRPIN.rawValue) : 0, seed: Self.seed)
        let toClient = Direction.toClient(route.route).entry(
            lease: lease, nextHop: addNextHop(route.toClient), meter: downMeter.index,
            flags: relays.contains(route.route.peer.ip) ? UInt8(RELAY_INSIDE.rawValue) : 0, seed: Self.seed)
        guard let one = table.insert(toPeer), let two = table.insert(toClient) else { throw Full() }
        return [one, two]
    }

    struct Full: Error {}
    struct Refused: Error { let errno: Int32 }

    func run(_ frame: [UInt8]) throws -> Outcome { try run([frame])[0] }

    /// Runs each frame once, in order.
    /// - Parameter metadataByteCount: how many bytes of each are metadata in the headroom, before the frame.
    func run(_ frames: [[UInt8]], metadataByteCount: Int = 0) throws -> [Outcome] {
        let room = 4096
        let results = UnsafeMutableRawPointer.allocate(byteCount: room * frames.count, alignment: 16)
        let packets = UnsafeMutableRawPointer.allocate(byteCount: room * frames.count, alignment: 16)
        defer {
            results.deallocate()
            packets.deallocate()
        }
        var runs: [cbpf_run] = []
        for (index, frame) in frames.enumerated() {
            let packet = packets + index * room
            frame.withUnsafeBytes { bytes in
                if let start = bytes.baseAddress { packet.copyMemory(from: start, byteCount: bytes.count) }
            }
            var run = cbpf_run()
            run.packet = UnsafeRawPointer(packet)
            run.packet_byte_count = UInt32(frame.count)
            run.result = results + index * room
            run.result_byte_count = UInt32(room)
            run.metadata_byte_count = UInt32(metadataByteCount)
            run.repeat = 1
            runs.append(run)
        }
        let error = cbpf_test_all(program.program, &runs, runs.count)
        guard error == 0 else { throw Refused(errno: -error) }
        return runs.map { run in
            Outcome(
                verdict: Verdict(rawValue: run.verdict),
                bytes: Array(
                    UnsafeRawBufferPointer(start: UnsafeRawPointer(run.result), count: Int(run.result_byte_count))))
        }
    }

    /// The settings as the program reads them; the mapping lives as long as the process.
    func shareSettings() throws -> UnsafeMutablePointer<relay_settings> {
        var error: Int32 = 0
        guard
            let memory = cbpf_share(
                program.descriptor(ofMap: "relay_settings"), MemoryLayout<relay_settings>.stride, &error)
        else { throw Refused(errno: -error) }
        return memory.bindMemory(to: relay_settings.self, capacity: 1)
    }

    /// A meter's element, if a route is held to it.
    func meter(_ key: MeterTable.Key) -> UnsafeMutablePointer<relay_meter>? {
        meters.index(of: key).map { program.meters + Int($0.rawValue) }
    }

    func packets(_ reason: relay_reason) -> UInt64 { program.count(of: reason.rawValue).packets }
}
