import STUN

@testable import RelayCore

/// What a client asks of Allocate.
struct ModelWish {
    var lifetime: UInt32?
    var family: UInt8?
    var additional: UInt8?
    var evenPort: Bool?
    var token: UInt64?

    var fields: [Field] {
        var fields = [Field.udp]
        if let lifetime { fields.append(.lifetime(lifetime)) }
        if let family { fields.append(.family(family)) }
        if let additional { fields.append(.additional(additional)) }
        if let evenPort { fields.append(.evenPort(reserving: evenPort)) }
        if let token { fields.append(.token(token)) }
        return fields
    }
}

extension NaiveRelay {
    /// One Allocate with the binds that it took, in order; `newToken` is the one in the answer.
    mutating func allocate(
        _ client: TransportAddress, user: String, _ wish: ModelWish, _ transaction: TransactionID,
        binds: [RelayAnswer], newToken: UInt64?
    ) -> String {
        var binds = binds[...]
        let answer = outcome(client, user: user, wish, transaction, &binds, newToken)
        return binds.isEmpty ? answer : "\(answer), and no bind after \(binds[binds.startIndex])"
    }

    private mutating func outcome(
        _ client: TransportAddress, user: String, _ wish: ModelWish, _ transaction: TransactionID,
        _ binds: inout ArraySlice<RelayAnswer>, _ newToken: UInt64?
    ) -> String {
        if let existing = allocations[client] {
            return existing.transaction == transaction && existing.user == user ? existing.answer : "allocate 437"
        }
        let isFamilyNamed = wish.family != nil || wish.additional != nil
        if wish.token != nil, isFamilyNamed || wish.evenPort != nil { return "allocate 400" }
        if wish.family != nil, wish.additional != nil { return "allocate 400" }
        if let additional = wish.additional, additional != 2 || wish.evenPort == true { return "allocate 400" }
        guard let family = AddressFamily(rawValue: wish.family ?? 1) else { return "allocate 440" }
        let count = allocations.values.count { $0.user == user }
        guard count < configuration.allocationsPerUser else { return "allocate 486" }

        var granted: [TransportAddress] = []
        var error = ""
        if let token = wish.token {
            guard let address = claim(token, user, &binds) else { return "allocate 508" }
            granted = [address]
        } else {
            for family in wish.additional == nil ? [family] : AddressFamily.allCases {
                if let address = open(family, wish.evenPort, besides: granted, &binds) {
                    granted.append(address)
                } else {
                    error = wish.additional == nil ? "" : " family\(family.rawValue)=508"
                }
            }
        }
        guard !granted.isEmpty else { return "allocate 508" }
        let lifetime = min(max(wish.lifetime ?? 600, 600), 3600)
        var words = granted.map { "relayed=\(outside($0))" } + ["lifetime=\(lifetime)"]
        if wish.evenPort == true, let newToken {
            words.append("token")
            let sibling = TransportAddress(granted[0].ip, port: granted[0].port + 1)
            reservations[newToken] = Reservation(
                address: sibling, user: user, expires: now.advanced(bySeconds: 30))
        }
        let answer = "allocate success \(words.joined(separator: " ")) mapped=\(client)\(error)"
        let expires = now.advanced(bySeconds: lifetime)
        allocations[client] = Allocation(
            user: user, transaction: transaction, answer: answer,
            relayed: Dictionary(
                uniqueKeysWithValues: granted.map { ($0.family, Relayed(address: $0, expires: expires)) }))
        return answer
    }

    private mutating func claim(
        _ token: UInt64, _ user: String, _ binds: inout ArraySlice<RelayAnswer>
    ) -> TransportAddress? {
        guard let reservation = reservations[token], reservation.user == user, now < reservation.expires,
            case .opened(let request, _) = binds.popFirst(), request.purpose == .claimed,
            request.address == reservation.address
        else { return nil }
        reservations[token] = nil
        return reservation.address
    }

    /// Follows the core from port to port. A bind that the rules do not allow stays in `binds` and is told.
    private mutating func open(
        _ family: AddressFamily, _ evenPort: Bool?, besides granted: [TransportAddress],
        _ binds: inout ArraySlice<RelayAnswer>
    ) -> TransportAddress? {
        for _ in 0..<16 {
            let candidates = freePorts(family, evenPort)
            guard !candidates.isEmpty, let answer = binds.first else { return nil }
            let purpose: RelayRequest.Purpose = granted.isEmpty ? .first : .additional
            guard answer.request.purpose == purpose, candidates.contains(answer.request.address) else { return nil }
            binds.removeFirst()
            switch answer {
            case .refused(_, .failed): return nil
            case .refused(let request, .addressInUse): busy[request.address] = now.advanced(bySeconds: 30)
            case .opened(let request, _):
                guard evenPort == true else { return request.address }
                guard let sibling = binds.first, sibling.request.purpose == .reserved,
                    sibling.request.address == TransportAddress(request.address.ip, port: request.address.port + 1)
                else { return nil }
                binds.removeFirst()
                switch sibling {
                case .opened: return request.address
                case .refused(_, .failed): return nil
                case .refused(let request, .addressInUse): busy[request.address] = now.advanced(bySeconds: 30)
                }
            }
        }
        return nil
    }

    /// The addresses that a socket may be asked for.
    private func freePorts(_ family: AddressFamily, _ evenPort: Bool?) -> Set<TransportAddress> {
        var taken = Set(reservations.values.map(\.address))
        taken.formUnion(busy.filter { now < $0.value }.keys)
        for allocation in allocations.values { taken.formUnion(allocation.relayed.values.map(\.address)) }
        var free: Set<TransportAddress> = []
        for relay in configuration.relayAddresses where relay.address.family == family {
            for port in configuration.relayPorts {
                let address = TransportAddress(relay.address, port: port)
                if !taken.contains(address) { free.insert(address) }
            }
        }
        guard let evenPort else { return free }
        return free.filter { address in
            guard address.port % 2 == 0 else { return false }
            return !evenPort || free.contains(TransportAddress(address.ip, port: address.port + 1))
        }
    }
}

extension RelayAnswer {
    var request: RelayRequest {
        switch self {
        case .opened(let request, _), .refused(let request, _): request
        }
    }
}
