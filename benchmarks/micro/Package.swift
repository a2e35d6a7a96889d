// swift-tools-version: 6.2
import PackageDescription

/// The calls that `CCounters` counts.
let counted = ["retain", "release", "bridgeObjectRetain", "bridgeObjectRelease"].flatMap {
    ["swift_\($0)", "swift_\($0)_n"]
}

let package = Package(
    name: "relayd-micro-benchmarks",
    dependencies: [.package(name: "relayd", path: "../..")],
    targets: [
        .target(name: "CCounters"),
        .target(name: "CTraffic"),
        .executableTarget(
            name: "micro",
            dependencies: [
                "CCounters",
                "CTraffic",
                .product(name: "STUN", package: "relayd"),
                .product(name: "RelayCore", package: "relayd"),
                .product(name: "RelayWorker", package: "relayd"),
                .product(name: "DataPlaneSocket", package: "relayd"),
                .product(name: "DataPlaneIOUring", package: "relayd"),
            ],
            swiftSettings: [
                .enableUpcomingFeature("ExistentialAny"),
                .enableUpcomingFeature("MemberImportVisibility"),
                .enableExperimentalFeature("Lifetimes"),
                .treatAllWarnings(as: .error),
            ],
            linkerSettings: [.unsafeFlags(counted.flatMap { ["-Xlinker", "--wrap=\($0)"] })]),
    ],
    swiftLanguageModes: [.v6]
)
