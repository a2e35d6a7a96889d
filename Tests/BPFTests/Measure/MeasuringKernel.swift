import CBPF
import Foundation
import RelayCore
import Testing

@testable import DataPlaneXDP

/// The program with a stopwatch: what one run costs when its packet is put back before each.
final class MeasuringKernel {
    let kernel: Kernel
    private let packet: UnsafeMutableRawPointer
    private static let headerByteCount = 72
    private static let headerOffset = 16
    private static let packetByteCount = headerOffset + headerByteCount

    init(routes: Int = 1024) throws {
        kernel = try Kernel(routes: routes, elf: Self.compile())
        var error: Int32 = 0
        let map = kernel.program.descriptor(ofMap: "measure_packets")
        packet = try #require(cbpf_share(map, Self.packetByteCount, &error))
    }

    deinit { cbpf_unshare(packet, Self.packetByteCount) }

    private static let package = URL(filePath: #filePath).appending(path: "../../../..").standardized

    /// The object, compiled as `bpf/compile` does it, unless that was done since its sources changed.
    private static func compile() throws -> [UInt8] {
        let object = package.appending(path: ".build/measure.bpf.o")
        let source = package.appending(path: "Tests/BPFTests/Measure/measure.bpf.c")
        let headers = package.appending(path: "Sources/CRelayABI/include")
        let folders = [source.deletingLastPathComponent(), package.appending(path: "bpf"), headers]
        let sources = try folders.flatMap {
            try FileManager.default.contentsOfDirectory(at: $0, includingPropertiesForKeys: nil)
        }
        if let made = changed(object), sources.allSatisfy({ changed($0).map { $0 < made } ?? false }) {
            return try Array(Data(contentsOf: object))
        }
        var machine = utsname()
        uname(&machine)
        let architecture = withUnsafeBytes(of: machine.machine) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        let compiler = Process()
        compiler.executableURL = URL(filePath: "/usr/bin/clang")
        compiler.arguments = [
            "-target", "bpf", "-mcpu=v3", "-g", "-O2", "-I", headers.path, "-I",
            "/usr/include/\(architecture)-linux-gnu", "-c", source.path, "-o", object.path,
        ]
        try compiler.run()
        compiler.waitUntilExit()
        try #require(compiler.terminationStatus == 0)
        return try Array(Data(contentsOf: object))
    }

    private static func changed(_ file: URL) -> Date? {
        try? FileManager.default.attributesOfItem(atPath: file.path)[.modificationDate] as? Date
    }

    /// Nanoseconds of one run of the program on this frame, the loop's own included, at best.
    ///
    /// - Parameters:
    ///   - sources: among how many IPv4 sources the frames come in turn, from 10.0.0.0 on; a power of two.
    ///   - growth: by how many bytes the relay makes the frame longer.
    ///   - repeats: runs in a row.
    func nanoseconds(
        _ frame: [UInt8], sources: Int = 1, growth: Int = 0, repeats: UInt32 = 4000, rounds: Int = 12
    ) throws -> Double {
        packet.storeBytes(of: UInt32(frame.count), as: UInt32.self)
        packet.storeBytes(of: UInt32(sources - 1), toByteOffset: 4, as: UInt32.self)
        packet.storeBytes(of: Int32(growth), toByteOffset: 12, as: Int32.self)
        (packet + Self.headerOffset).copyMemory(
            from: Array(frame.prefix(Self.headerByteCount)), byteCount: Self.headerByteCount)
        let relaying = try best(of: "measure_relay", frame, repeats, rounds)
        // The relay moves the head once, and so does what puts it back.
        let moving = try best(of: "measure_moving", frame, repeats, rounds)
        let still = try best(of: "measure_restore", frame, repeats, rounds)
        return relaying - (moving + still) / 2 + (try best(kernel.program.passProgram, frame, repeats, rounds, .pass))
    }

    private func best(of name: String, _ frame: [UInt8], _ repeats: UInt32, _ rounds: Int) throws -> Double {
        try best(kernel.program.descriptor(ofProgram: name), frame, repeats, rounds, .transmit)
    }

    private func best(
        _ program: Int32, _ frame: [UInt8], _ repeats: UInt32, _ rounds: Int, _ verdict: Kernel.Verdict
    ) throws -> Double {
        var best = UInt32.max
        try frame.withUnsafeBytes { bytes in
            for _ in 0..<rounds {
                var run = cbpf_run()
                run.packet = bytes.baseAddress
                run.packet_byte_count = UInt32(frame.count)
                run.repeat = repeats
                var error = cbpf_test(program, &run)
                // A signal that this process has nothing to do with ends the loop early.
                for _ in 0..<10 where error == -EINTR { error = cbpf_test(program, &run) }
                try #require(error == 0)
                try #require(run.verdict == verdict.rawValue)
                best = min(best, run.duration)
            }
        }
        return Double(best)
    }
}
