// swift-tools-version: 6.2
import PackageDescription

/// What every target is held to: Swift 6 mode, no warnings, imports that say who sees them.
let strict: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    // Types that borrow bytes (STUN.Message, DatagramIO.bytes) say how long the loan lasts.
    .enableExperimentalFeature("Lifetimes"),
    .treatAllWarnings(as: .error),
]
/// Library targets are also checked for strict memory safety: every unsafe expression is marked `unsafe`.
let strictAndMemorySafe: [SwiftSetting] = strict + [.strictMemorySafety()]

let package = Package(
    name: "relayd",
    products: [
        .executable(name: "relayd", targets: ["relayd"]),
        .library(name: "STUN", targets: ["STUN"]),
        .library(name: "RelayCore", targets: ["RelayCore"]),
        .library(name: "RelayWorker", targets: ["RelayWorker"]),
        .library(name: "DataPlaneSocket", targets: ["DataPlaneSocket"]),
        .library(name: "DataPlaneIOUring", targets: ["DataPlaneIOUring"]),
        .library(name: "DataPlaneXDP", targets: ["DataPlaneXDP"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
        .package(
            url: "https://github.com/apple/swift-configuration", from: "1.0.0", traits: []),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.0.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.5.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.90.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.30.0"),
        .package(url: "https://github.com/apple/swift-system", from: "1.5.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.10.0"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.3.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.8.0"),
    ],
    targets: [
        .target(name: "CLinux"),
        .target(name: "CPrefetch"),
        // Static, so that the program runs on hosts without liburing.
        .target(name: "CIOUring", linkerSettings: [.linkedLibrary(":liburing.a")]),
        // libyaml by itself: the Swift packages on top of it bring all of Foundation and its Unicode tables, which
        // tripled the program's memory.
        .systemLibrary(name: "CYAML", providers: [.apt(["libyaml-dev"])]),
        .target(
            name: "STUN",
            dependencies: [.product(name: "Crypto", package: "swift-crypto")],
            swiftSettings: strictAndMemorySafe),
        .target(
            name: "RelayCore",
            dependencies: ["STUN", "CPrefetch", .product(name: "Crypto", package: "swift-crypto")],
            swiftSettings: strictAndMemorySafe),
        .target(
            name: "RelayWorker", dependencies: ["STUN", "RelayCore", "CLinux"],
            swiftSettings: strictAndMemorySafe),
        .target(
            name: "PlaneKit", dependencies: ["STUN", "RelayCore", "RelayWorker", "CLinux", "CPrefetch"],
            swiftSettings: strictAndMemorySafe),
        .target(
            name: "DataPlaneSocket",
            dependencies: ["STUN", "RelayCore", "RelayWorker", "PlaneKit", "CLinux"],
            swiftSettings: strictAndMemorySafe),
        .target(
            name: "DataPlaneIOUring",
            dependencies: ["STUN", "RelayCore", "RelayWorker", "PlaneKit", "CLinux", "CIOUring"],
            swiftSettings: strictAndMemorySafe),
        // The header that the XDP program and the daemon share.
        .target(name: "CRelayABI"),
        .target(
            name: "CBPF", dependencies: ["CRelayABI"],
            // Static, so that the program runs on hosts without libbpf.
            linkerSettings: [
                .linkedLibrary(":libbpf.a"), .linkedLibrary(":libelf.a"), .linkedLibrary(":libz.a"),
            ]),
        .plugin(name: "CompileBPF", capability: .buildTool()),
        .target(
            name: "DataPlaneXDP", dependencies: ["STUN", "RelayCore", "RelayWorker", "CBPF", "CLinux", "CRelayABI"],
            swiftSettings: strictAndMemorySafe, plugins: ["CompileBPF"]),
        .executableTarget(
            name: "relayd",
            dependencies: [
                "STUN", "RelayCore", "RelayWorker", "PlaneKit", "DataPlaneSocket", "DataPlaneIOUring", "DataPlaneXDP",
                "CYAML",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Configuration", package: "swift-configuration"),
                .product(name: "CoreMetrics", package: "swift-metrics"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "SystemPackage", package: "swift-system"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ],
            resources: [
                .embedInCode("Dashboard/index.html"), .embedInCode("Dashboard/dashboard.css"),
                .embedInCode("Dashboard/dashboard.js"),
            ], swiftSettings: strict),
        .target(name: "TestSeed", path: "Tests/TestSeed", swiftSettings: strict),
        .testTarget(name: "STUNTests", dependencies: ["STUN", "TestSeed"], swiftSettings: strict),
        .testTarget(name: "RelayCoreTests", dependencies: ["RelayCore", "STUN"], swiftSettings: strict),
        .testTarget(
            name: "RelayWorkerTests", dependencies: ["RelayWorker", "RelayCore", "STUN", "TestSeed"],
            swiftSettings: strict),
        .target(
            name: "PlaneTestKit",
            dependencies: [
                "DataPlaneSocket", "DataPlaneIOUring", "PlaneKit", "RelayWorker", "RelayCore", "STUN", "CLinux",
            ],
            path: "Tests/PlaneTestKit", swiftSettings: strict),
        .testTarget(
            name: "PlaneKitTests",
            dependencies: ["PlaneKit", "PlaneTestKit", "RelayWorker", "RelayCore", "STUN", "TestSeed", "CLinux"],
            swiftSettings: strict),
        .testTarget(
            name: "PlaneConformanceTests",
            dependencies: [
                "PlaneTestKit", "ReferenceRelay", "DataPlaneSocket", "DataPlaneIOUring", "DataPlaneXDP", "PlaneKit",
                "RelayWorker", "RelayCore", "STUN", "TestSeed", "CLinux",
            ], swiftSettings: strict),
        .testTarget(
            name: "DataPlaneSocketTests",
            dependencies: [
                "DataPlaneSocket", "PlaneKit", "PlaneTestKit", "RelayWorker", "RelayCore", "STUN", "CLinux",
            ],
            swiftSettings: strict),
        .target(name: "CTestKit", path: "Tests/CTestKit"),
        .testTarget(
            name: "DataPlaneIOUringTests",
            dependencies: [
                "CTestKit", "DataPlaneIOUring", "PlaneKit", "PlaneTestKit", "RelayWorker", "RelayCore", "STUN",
                "TestSeed", "CLinux", "CIOUring",
            ],
            swiftSettings: strict),
        // Optimised in every build: the tests compare a million packets with it.
        .target(
            name: "ReferenceRelay", dependencies: ["RelayCore", "STUN"], path: "Tests/ReferenceRelay",
            swiftSettings: strict + [.unsafeFlags(["-O"])]),
        .testTarget(
            name: "BPFTests",
            dependencies: [
                "DataPlaneXDP", "PlaneTestKit", "ReferenceRelay", "RelayWorker", "RelayCore", "STUN", "TestSeed",
                "CBPF", "CLinux", "CRelayABI",
            ],
            exclude: ["verifier.txt", "Measure/measure.bpf.c"], swiftSettings: strict),
        .testTarget(
            name: "relaydTests",
            dependencies: [
                "relayd", "DataPlaneIOUring", "DataPlaneXDP", "PlaneKit", "RelayWorker", "RelayCore", "STUN",
                "TestSeed",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "CoreMetrics", package: "swift-metrics"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"), .product(name: "NIOCore", package: "swift-nio"),
            ],
            swiftSettings: strict),
    ],
    swiftLanguageModes: [.v6]
)
