// Unsafe code: the entries are memory that the table's writer changes at the same time. Each field is read by one atomic
// load, and their number is the map's.

import CBPF
import CRelayABI

extension XDPProgram {
    /// How many live entries have a lease that is over at `now`, in units of the program's clock. Looking at all of them
    /// takes milliseconds, so it takes no lock; what changes meanwhile is counted before or after.
    func lapsedEntryCount(at now: UInt32) -> Int {
        var lapsed = 0
        for slot in 0..<sizes.slots {
            let entry = unsafe entries + slot
            guard unsafe cbpf_state(entry) == RELAY_SLOT_LIVE.rawValue else { continue }
            if unsafe cbpf_lease(entry) <= now { lapsed += 1 }
        }
        return lapsed
    }
}
