import DataPlaneXDP
import RelayCore
import RelayWorker

/// What `/metrics` says: totals of all workers. No label ever names a user or an address.
struct MetricsPage {
    static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    let families: [MetricsText.Family]
    let text: String
    /// When counting began, in seconds since 1970.
    let startTimeSeconds: Double

    init(_ server: RelayServer) {
        self.init(
            snapshots: server.snapshots, tallies: server.planeTallies, planes: PlaneFigures(server.planes),
            addresses: server.addresses.served,
            xdp: server.xdp.map { ($0.statistics, lapsedRoutes: $0.lapsedRouteCount) },
            isDraining: server.drain.isDraining, events: .program, process: ProcessFigures.read())
    }

    init(
        snapshots: [WorkerSnapshot], tallies: [String: PlaneTally], planes: PlaneFigures,
        addresses: ServedAddresses = ServedAddresses(listeners: [], relayAddresses: []),
        xdp: (XDPStatistics, lapsedRoutes: Int)? = nil, isDraining: Bool = false,
        events: MetricsRegistry = MetricsRegistry(), process: ProcessFigures
    ) {
        let tallies = tallies.sorted { $0.key < $1.key }
        var page = MetricsText()
        page.begin("relayd_build_info", .gauge, "The version that runs.")
        page.sample("relayd_build_info", [("version", Version.number)], 1 as UInt64)
        page.single("relayd_workers", .gauge, "Threads, each with its share of the clients.", UInt64(snapshots.count))
        page.single(
            "relayd_draining", .gauge, "1 while new allocations are refused and the living ones run out, else 0.",
            isDraining ? 1 : 0)
        Self.writeAddresses(addresses, to: &page)
        Self.writeState(snapshots, to: &page)
        Self.writeRequests(snapshots, to: &page)
        Self.writeTurns(snapshots, to: &page)
        planes.write(to: &page)
        Self.writeTraffic(tallies, to: &page)
        Self.writePlane(tallies, to: &page)
        if let (statistics, lapsedRoutes) = xdp { Self.writeXDP(statistics, lapsedRoutes, to: &page) }
        events.write(to: &page)
        process.write(to: &page)
        families = page.families
        text = page.text
        startTimeSeconds = process.startTimeSeconds
    }

    /// By number: which they are, `/status` says.
    private static func writeAddresses(_ served: ServedAddresses, to page: inout MetricsText) {
        let rows = [
            (
                "relayd_listeners", "Listeners by state: open, or leaving, which take no new allocations.",
                served.listeners.count, served.leavingListeners.count
            ),
            (
                "relayd_relay_addresses", "Relay addresses by state: open, or leaving, which take no new allocations.",
                served.relayAddresses.count, served.leavingRelayAddresses.count
            ),
        ]
        for (name, help, open, leaving) in rows {
            page.begin(name, .gauge, help)
            page.sample(name, [("state", "open")], UInt64(open))
            page.sample(name, [("state", "leaving")], UInt64(leaving))
        }
    }

    private static func writeState(_ snapshots: [WorkerSnapshot], to page: inout MetricsText) {
        page.single("relayd_allocations", .gauge, "Living allocations.", snapshots.total(\.core.allocations))
        page.single("relayd_permissions", .gauge, "Living permissions.", snapshots.total(\.core.permissions))
        page.single("relayd_channels", .gauge, "Channel bindings that forward.", snapshots.total(\.core.channels))
    }

    /// How busy the workers are, and how long a packet may have waited for its turn.
    private static func writeTurns(_ snapshots: [WorkerSnapshot], to page: inout MetricsText) {
        let now = SystemClock.now().monotonic
        let shedding = "relayd_worker_shedding"
        page.begin(
            shedding, .gauge,
            "1 while the worker cannot keep up and drops what comes from clients without an allocation.")
        for (worker, snapshot) in snapshots.enumerated() {
            page.sample(shedding, [("worker", "\(worker)")], snapshot.core.isShedding)
        }
        let rows: [(name: String, kind: MetricsText.Kind, help: String, value: (TurnTimes) -> Double)] = [
            (
                "relayd_worker_busy_seconds_total", .counter,
                "Time in turns of the loop that had something to do, in seconds.",
                { Double($0.busyNanoseconds) / 1e9 }
            ),
            (
                "relayd_worker_longest_turn_seconds", .gauge,
                "The longest turn of the loop in the last second or two, in seconds.",
                { Double($0.longestNanoseconds(at: now)) / 1e9 }
            ),
        ]
        for row in rows {
            page.begin(row.name, row.kind, row.help)
            for (worker, snapshot) in snapshots.enumerated() {
                page.sample(row.name, [("worker", "\(worker)")], row.value(snapshot.turns))
            }
        }
    }

    private static func writeRequests(_ snapshots: [WorkerSnapshot], to page: inout MetricsText) {
        let requests = "relayd_requests_total"
        page.begin(
            requests, .counter,
            "STUN requests and Send indications by method and outcome (an error code, success or rate_limited).")
        for method in CountedMethod.allCases {
            for outcome in Outcome.allCases {
                let count = snapshots.reduce(0) { $0 + $1.core[method, outcome] }
                guard count > 0 || outcome == .success else { continue }
                page.sample(requests, [("method", "\(method)".snakeCased), ("outcome", outcome.label)], count)
            }
        }
        let drops = "relayd_dropped_datagrams_total"
        page.begin(drops, .counter, "Datagrams that were dropped without an answer, by reason.")
        for reason in DropReason.allCases {
            page.sample(drops, [("reason", "\(reason)".snakeCased)], snapshots.reduce(0) { $0 + $1.core[reason] })
        }
        let quotas = "relayd_quota_refusals_total"
        page.begin(quotas, .counter, "Requests that were refused because a quota or a rate was reached.")
        for quota in Quota.allCases {
            let count = snapshots.reduce(0) { $0 + $1.core[quota] }
            page.sample(quotas, [("quota", quota.rawValue.replacing("-", with: "_"))], count)
        }
        page.single(
            "relayd_icmp_indications_total", .counter, "ICMP errors that were handed to clients.",
            snapshots.total(\.core.icmpIndications))
    }

    private static func writeTraffic(_ tallies: [(key: String, value: PlaneTally)], to page: inout MetricsText) {
        typealias Row = (path: String, traffic: KeyPath<PlaneTally, AllocationTraffic>)
        let rows: [Row] = [("channel", \.channelTraffic), ("indication", \.indicationTraffic)]
        let figures:
            [(
                name: String, help: String, up: KeyPath<AllocationTraffic, UInt64>,
                down: KeyPath<AllocationTraffic, UInt64>
            )] = [
                (
                    "relayd_relayed_packets_total", "Payloads relayed, in datagrams.", \.packetsToPeers,
                    \.packetsToClient
                ),
                (
                    "relayd_relayed_bytes_total", "Payload relayed, in bytes, without any header.", \.bytesToPeers,
                    \.bytesToClient
                ),
            ]
        for figure in figures {
            page.begin(figure.name, .counter, figure.help)
            for (plane, tally) in tallies {
                for row in rows {
                    for (direction, path) in [("to_peer", figure.up), ("to_client", figure.down)] {
                        page.sample(
                            figure.name, [("plane", plane), ("path", row.path), ("direction", direction)],
                            tally[keyPath: row.traffic.appending(path: path)])
                    }
                }
            }
        }
    }

    /// The program in the kernel; what it relayed is in the totals above as well.
    private static func writeXDP(_ xdp: XDPStatistics, _ lapsedRoutes: Int, to page: inout MetricsText) {
        page.begin("relayd_xdp_attachment", .gauge, "Where the XDP program is attached: interface and mode.")
        for attachment in xdp.attachments { page.sample("relayd_xdp_attachment", [("at", attachment)], 1 as UInt64) }
        page.single(
            "relayd_xdp_refused_interfaces", .gauge, "Interfaces with an address of the relay that refuse the program.",
            UInt64(xdp.refusals.count))
        page.single("relayd_xdp_routes", .gauge, "Channel bindings in the kernel.", UInt64(xdp.routes))
        page.single(
            "relayd_xdp_waiting_routes", .gauge, "Channel bindings that wait for room there, on the slow path.",
            UInt64(xdp.waitingRoutes))
        page.single(
            "relayd_xdp_lapsed_routes", .gauge, "Channel bindings there whose lease is over, on the slow path.",
            UInt64(lapsedRoutes))
        page.single(
            "relayd_xdp_refused_routes_total", .counter, "Channel bindings without room there, left to the slow path.",
            xdp.refusedRoutes)
        let figures: [(name: String, help: String, path: KeyPath<FrameCount, UInt64>)] = [
            ("relayd_xdp_frames_total", "Frames by verdict and by path or reason.", \.packets),
            ("relayd_xdp_frame_bytes_total", "Bytes of those frames.", \.bytes),
        ]
        for figure in figures {
            page.begin(figure.name, .counter, figure.help)
            for count in xdp.frames {
                page.sample(
                    figure.name, [("plane", "xdp"), ("verdict", count.verdict), ("reason", count.reason)],
                    count[keyPath: figure.path])
            }
        }
    }

    private static func writePlane(_ tallies: [(key: String, value: PlaneTally)], to page: inout MetricsText) {
        let rows: [(name: String, help: String, path: KeyPath<PlaneCounters, UInt64>)] = [
            ("relayd_receive_calls_total", "System calls that received.", \.receiveCalls),
            ("relayd_received_datagrams_total", "Datagrams received.", \.receivedDatagrams),
            ("relayd_send_calls_total", "System calls that sent.", \.sendCalls),
            ("relayd_sent_datagrams_total", "Datagrams sent.", \.sentDatagrams),
            (
                "relayd_send_queue_full_total", "Datagrams dropped because the kernel had no room.",
                \.sendQueueFull
            ),
            ("relayd_send_too_big_total", "Datagrams dropped because they exceed the path MTU.", \.sendTooBig),
            ("relayd_send_refused_total", "Datagrams that the kernel refused to send.", \.sendRefused),
            ("relayd_receive_truncated_total", "Datagrams longer than the receive buffer.", \.receiveTruncated),
            (
                "relayd_receive_queue_drops_total", "Datagrams dropped in full socket buffers.",
                \.receiveQueueDrops
            ),
            (
                "relayd_receive_buffer_shortages_total",
                "Receives that found no buffer of the plane, as they do under load.",
                \.receiveBufferShortages
            ),
            (
                "relayd_segmentation_refused_total", "Batches that were sent one by one instead.",
                \.segmentationRefused
            ),
        ]
        for row in rows {
            page.begin(row.name, .counter, row.help)
            for (plane, tally) in tallies {
                page.sample(row.name, [("plane", plane)], tally.counters[keyPath: row.path])
            }
        }
    }
}

extension [WorkerSnapshot] {
    fileprivate func total(_ path: KeyPath<WorkerSnapshot, UInt64>) -> UInt64 { reduce(0) { $0 + $1[keyPath: path] } }
}

extension String {
    /// `noPermission` as label values are written: `no_permission`.
    var snakeCased: String {
        reduce(into: "") { $0 += $1.isUppercase ? "_\($1.lowercased())" : "\($1)" }
    }
}

extension Outcome {
    /// An error as its code, anything else by name.
    var label: String {
        switch self {
        case .success: "success"
        case .rateLimited: "rate_limited"
        default: "\(errorCode)"
        }
    }
}
