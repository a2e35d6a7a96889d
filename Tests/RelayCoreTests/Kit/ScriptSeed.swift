import Foundation

/// The seed of this run's random operations: RELAYD_TEST_SEED, or a new one.
let scriptSeed: UInt64 =
    ProcessInfo.processInfo.environment["RELAYD_TEST_SEED"].flatMap(UInt64.init) ?? .random(in: 0...UInt64.max)

/// What repeats this run.
let scriptSeedNote = "RELAYD_TEST_SEED=\(scriptSeed)"
