import Foundation

/// The seed of this run's random operations: RELAYD_TEST_SEED, or a new one.
let structureSeed: UInt64 =
    ProcessInfo.processInfo.environment["RELAYD_TEST_SEED"].flatMap(UInt64.init) ?? .random(in: 0...UInt64.max)

/// What a failure adds so that it can be repeated.
let structureSeedNote = "RELAYD_TEST_SEED=\(structureSeed)"
