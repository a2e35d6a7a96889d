/// Columns for people, each as wide as its widest cell.
enum TextTable {
    /// - Parameter right: the columns that hold numbers.
    static func text(_ rows: [[String]], right: Set<Int> = []) -> String {
        let columns = rows.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0 }
        return rows.map { row in
            let cells = row.enumerated().map { column, cell in
                let room = String(repeating: " ", count: widths[column] - cell.count)
                return right.contains(column) ? room + cell : cell + room
            }
            var line = cells.joined(separator: "  ")
            while line.last == " " { line.removeLast() }
            return line + "\n"
        }.joined()
    }

    /// `1.5 MB`: powers of 1,000, as in network rates.
    static func bytes(_ count: UInt64) -> String {
        var value = Double(count)
        var unit = "B"
        for larger in ["kB", "MB", "GB", "TB", "PB"] where value >= 999.95 {
            value /= 1000
            unit = larger
        }
        let tenths = Int((value * 10).rounded())
        return unit == "B" ? "\(count) B" : "\(tenths / 10).\(tenths % 10) \(unit)"
    }

    /// `2h 5m`, `3m 20s`.
    static func span(_ seconds: UInt32) -> String {
        switch seconds {
        case ..<60: "\(seconds)s"
        case ..<3600: "\(seconds / 60)m \(seconds % 60)s"
        case ..<86_400: "\(seconds / 3600)h \(seconds % 3600 / 60)m"
        default: "\(seconds / 86_400)d \(seconds % 86_400 / 3600)h"
        }
    }
}

extension SessionList {
    /// For people.
    var table: String {
        let head = ["ID", "USER", "CLIENT", "RELAYED", "CH", "PERM", "TO PEERS", "TO CLIENT", "AGE", "LEFT"]
        let rows = sessions.map { session in
            [
                session.id, session.user, session.client, session.relayed.joined(separator: " "),
                "\(session.channels)", "\(session.permissions)", TextTable.bytes(session.traffic.bytesToPeers),
                TextTable.bytes(session.traffic.bytesToClient), TextTable.span(session.ageSeconds),
                TextTable.span(session.lifetimeSeconds),
            ]
        }
        let more = next.map { "more: relayd sessions --after \($0)\n" } ?? ""
        return sessions.isEmpty ? "no sessions\n" : TextTable.text([head] + rows, right: Set(4...9)) + more
    }
}

extension SessionAnswerDetail {
    /// For people.
    var table: String {
        var rows = [
            ["session", session.id], ["user", session.user], ["client", session.client], ["server", session.server],
            ["age", TextTable.span(session.ageSeconds)], ["left", TextTable.span(session.lifetimeSeconds)],
        ]
        if session.overLimitPackets > 0 {
            let now = session.limited ? "limited now" : "not limited now"
            rows.append(["over its limit", "\(session.overLimitPackets) packets dropped, \(now)"])
        }
        for (plane, traffic) in session.planes.sorted(by: { $0.key < $1.key }) {
            rows.append(["by \(plane)", traffic.text])
        }
        for relay in relays {
            let behind = relay.local == relay.relayed ? "" : " (here \(relay.local))"
            rows.append(["relayed", "\(relay.relayed)\(behind), \(TextTable.span(relay.lifetimeSeconds)) left"])
            rows += relay.permissions.map { ["permission", "\($0.peer), \(TextTable.span($0.lifetimeSeconds)) left"] }
            rows += relay.channels.map { channel in
                let state = channel.forwards ? "\(TextTable.span(channel.lifetimeSeconds)) left" : "does not forward"
                return ["channel", "\(channel.number) to \(channel.peer), \(state), \(channel.traffic.text)"]
            }
        }
        return TextTable.text(rows)
    }
}

extension TrafficAnswer {
    fileprivate var text: String {
        "\(packetsToPeers) packets, \(TextTable.bytes(bytesToPeers)) to peers; "
            + "\(packetsToClient) packets, \(TextTable.bytes(bytesToClient)) to the client"
    }
}
