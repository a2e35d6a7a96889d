import RelayWorker

/// What `/metrics` says about the choice of planes.
struct PlaneFigures {
    /// How many workers run on each plane.
    var workersByPlane: [String: Int] = [:]
    var refusals: [PlaneChoice.Refusal] = []
    var changes: [PlaneSupervisor.Change: UInt64] = [:]

    init() {}

    init(_ planes: PlaneSupervisor) {
        let status = planes.status
        workersByPlane = status.workersByPlane
        refusals = planes.refusals
        changes = status.changes
    }

    func write(to page: inout MetricsText) {
        page.begin("relayd_data_plane_workers", .gauge, "Workers by the data plane that they run on.")
        for (plane, workers) in workersByPlane.sorted(by: { $0.key < $1.key }) {
            page.sample("relayd_data_plane_workers", [("plane", plane)], UInt64(workers))
        }
        page.begin("relayd_data_plane_refused", .gauge, "Data planes that this host refused, and why.")
        for refusal in refusals {
            page.sample(
                "relayd_data_plane_refused", [("plane", refusal.name), ("reason", refusal.reason.description)],
                1 as UInt64)
        }
        page.begin(
            "relayd_data_plane_changes_total", .counter,
            "How often all workers came to a data plane, by cause: start, swap (asked for) or fallback (another failed)."
        )
        for plane in Set(changes.keys.map(\.plane)).sorted() {
            for cause in PlaneRoster.Cause.allCases {
                let count = changes[PlaneSupervisor.Change(plane: plane, cause: cause)] ?? 0
                page.sample(
                    "relayd_data_plane_changes_total", [("plane", plane), ("cause", cause.rawValue)], count)
            }
        }
    }
}
