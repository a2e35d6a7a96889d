import RelayCore
import RelayWorker

/// The sessions of all workers, asked for in small parts.
struct SessionBook: Sendable {
    enum Problem: Error, CustomStringConvertible {
        case unknown(String)
        case silent(worker: Int)

        var description: String {
            switch self {
            case .unknown(let id): "There is no session \(id): it has ended, or never was. /sessions lists the living."
            case .silent(let worker): "Worker \(worker) did not answer within 5 s: it has ended or does not turn."
            }
        }
    }

    let links: [WorkerLink]

    /// At most `limit` sessions behind `after`.
    func list(after: SessionID?, limit: Int, _ filter: SessionFilter) async throws(Problem) -> SessionList {
        var list = SessionList(sessions: [], next: nil)
        var worker = after?.worker ?? 0
        var place: UInt32? = after.map { $0.place &+ 1 } ?? 0
        while worker < links.count {
            while let from = place {
                guard case .page(let page)? = await links[worker].ask(.list(from: from, filter)) else {
                    throw .silent(worker: worker)
                }
                list.sessions += page.sessions.prefix(limit - list.sessions.count).map { SessionRow($0) }
                place = page.next
                let mayBeMore = place != nil || worker + 1 < links.count
                // A page may also have been cut: its last session is then not the list's.
                let isCut = list.sessions.last?.id != page.sessions.last?.id.description && !page.sessions.isEmpty
                if list.sessions.count == limit {
                    if mayBeMore || isCut { list.next = list.sessions.last?.id }
                    return list
                }
            }
            worker += 1
            place = 0
        }
        return list
    }

    func detail(_ id: SessionID) async throws(Problem) -> SessionAnswerDetail {
        guard case .detail(let detail)? = try await link(of: id).ask(.detail(id.allocation)) else {
            throw .silent(worker: id.worker)
        }
        guard let detail else { throw .unknown(id.description) }
        return SessionAnswerDetail(detail)
    }

    func kick(_ id: SessionID) async throws(Problem) -> KickAnswer {
        guard case .kicked(let count, _)? = try await link(of: id).ask(.kick(id.allocation)) else {
            throw .silent(worker: id.worker)
        }
        guard count > 0 else { throw .unknown(id.description) }
        return KickAnswer(kicked: count)
    }

    /// Ends all sessions that fit. What is opened meanwhile may live on.
    func kick(_ filter: SessionFilter) async throws(Problem) -> KickAnswer {
        var sum = 0
        for (worker, link) in links.enumerated() {
            var place: UInt32? = 0
            while let from = place {
                guard case .kicked(let count, let next)? = await link.ask(.kickAll(from: from, filter)) else {
                    throw .silent(worker: worker)
                }
                sum += count
                place = next
            }
        }
        return KickAnswer(kicked: sum)
    }

    private func link(of id: SessionID) throws(Problem) -> WorkerLink {
        guard id.worker < links.count else { throw .unknown(id.description) }
        return links[id.worker]
    }
}
