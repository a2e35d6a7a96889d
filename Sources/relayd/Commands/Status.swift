import ArgumentParser

/// `relayd status`: what a running relay does.
struct Status: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Say what a running relay does, and on which data plane.")

    @OptionGroup var options: AdminOptions

    func run() async throws {
        let client = try options.client()
        do throws(AdminClient.Failure) {
            let status = try await client.get("/status", as: RelayStatus.self)
            print(options.json ? AdminAnswer.text(json: status) : status.table, terminator: "")
        } catch {
            throw AdminOptions.exit(error)
        }
    }
}

/// `relayd plane NAME`: has a running relay go on with another data plane.
struct Plane: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Change the data plane of a running relay; calls go on.",
        discussion: """
            Allocations, permissions and channels stay, on the same sockets. XDP goes above the userspace plane that
            runs, unless --xdp-slow-path names another; if a plane cannot start, the relay stays on the one before.
            """)

    @Argument(help: "xdp, io-uring or socket.")
    var plane: String
    @OptionGroup var options: AdminOptions

    func run() async throws {
        let client = try options.client()
        do throws(AdminClient.Failure) {
            let now = try await client.post(
                "/plane", PlaneRequest(plane: plane), as: RelayStatus.PlaneStatus.self)
            print(options.json ? AdminAnswer.text(json: now) : "\(now.name): \(now.does)\n", terminator: "")
        } catch {
            throw AdminOptions.exit(error)
        }
    }
}

extension RelayStatus {
    /// For people.
    var table: String {
        var rows = [
            ("version", version), ("plane", plane.name), ("does", plane.does),
            ("since", plane.settled ? plane.cause : "\(plane.cause), under way"),
            (
                "workers",
                plane.workers.sorted { $0.key < $1.key }.map { "\($0.value) on \($0.key)" }.joined(separator: ", ")
            ),
            ("falls back to", plane.fallbacks.isEmpty ? "nothing" : plane.fallbacks.joined(separator: ", ")),
        ]
        rows += listeners.map { listener in
            ("listens on", listener.address + (listener.allocations.map { ", leaving with \($0) allocations" } ?? ""))
        }
        rows += relayAddresses.map { relay in
            let external = relay.external.map { " (outside \($0))" } ?? ""
            let state = relay.state == "open" ? "" : ", leaving with \(relay.relayed) relayed addresses"
            return ("relays on", relay.address + external + state)
        }
        rows += plane.failures.map { ("failed", "\($0.plane): \($0.reason)") }
        rows += candidates.compactMap { candidate in candidate.reason.map { ("refused", "\(candidate.name): \($0)") } }
        if let xdp {
            rows.append(("in the kernel", "\(xdp.routes) routes, \(xdp.refusedRoutes) refused so far"))
            rows += xdp.attachments.map { ("attached to", $0) }
            rows += xdp.refusedInterfaces.map { ("not attached", $0) }
        }
        if shedding > 0 {
            rows.append(("shedding", "\(shedding) of \(self.workers) workers; clients without an allocation wait"))
        }
        if draining { rows.append(("draining", "ends with the last allocation")) }
        rows += [("allocations", "\(allocations)"), ("permissions", "\(permissions)"), ("channels", "\(channels)")]
        let width = rows.map(\.0.count).max() ?? 0
        return rows.map { $0.0 + String(repeating: " ", count: width + 2 - $0.0.count) + $0.1 + "\n" }.joined()
    }
}
