import Foundation
import PackagePlugin

/// Compiles `bpf/` with Debian's clang during `swift build` and gives the object to the target as a Swift file.
@main
struct CompileBPF: BuildToolPlugin {
    func createBuildCommands(context: PluginContext, target: any Target) throws -> [Command] {
        let root = context.package.directoryURL
        let sources = root.appending(path: "bpf")
        let files = try FileManager.default.contentsOfDirectory(at: sources, includingPropertiesForKeys: nil)
        let header = root.appending(path: "Sources/CRelayABI/include/CRelayABI.h")
        let output = context.pluginWorkDirectoryURL.appending(path: "ProgramObject.swift")
        let script = sources.appending(path: "compile")
        return [
            .buildCommand(
                displayName: "Compiling the XDP program", executable: URL(filePath: "/bin/sh"),
                arguments: [script.path, output.path, context.pluginWorkDirectoryURL.path],
                inputFiles: files + [header], outputFiles: [output])
        ]
    }
}
