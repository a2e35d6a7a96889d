import STUN

/// The wire: parsing, writing, signing, checking.
func measureSTUN(_ recorder: inout Recorder) {
    measureReading(&recorder)
    measureWriting(&recorder)
    measureChannelData(&recorder)
}

private let key = IntegrityKey.longTerm(.md5, username: "alice", realm: "relayd", password: "secret")
private let client = TransportAddress(IPAddress(v4: 0xC612_4001), port: 20000)

/// An Allocate as a browser sends it: credentials, a nonce, integrity.
private func allocateRequest(_ kind: IntegrityKind) -> [UInt8] {
    encode(.request, .allocate, 1, signedWith: key, kind) { writer in
        writer.appendRequestedTransport(17)
        writer.append(.username, text: "alice")
        writer.append(.realm, text: "relayd")
        writer.append(.nonce, text: "obMatJos2AAAAAAAAAAAAAAA")
    }
}

private func measureReading(_ recorder: inout Recorder) {
    let packets = Packets([
        encode(.request, .binding, 1) { _ in }, allocateRequest(.sha1), allocateRequest(.sha256),
    ])
    recorder.measure("stun/parse-binding", operations: 200_000) { count in
        for _ in 0..<count { keep((try? Message(parsing: packets[0]))?.transactionID.low ?? 0) }
    }
    recorder.measure("stun/parse-allocate", operations: 100_000) { count in
        for _ in 0..<count { keep((try? Message(parsing: packets[1]))?.transactionID.low ?? 0) }
    }
    recorder.measure("stun/find-nonce", operations: 100_000) { count in
        for _ in 0..<count { keep((try? Message(parsing: packets[1]))?.first(.nonce)?.value.byteCount ?? 0) }
    }
    recorder.measure("stun/check-integrity-sha1", operations: 20_000) { count in
        for _ in 0..<count { keep((try? Message(parsing: packets[1]))?.hasValidIntegrity(.sha1, key: key) ?? false) }
    }
    recorder.measure("stun/check-integrity-sha256", operations: 20_000) { count in
        for _ in 0..<count { keep((try? Message(parsing: packets[2]))?.hasValidIntegrity(.sha256, key: key) ?? false) }
    }
    recorder.measure("stun/long-term-key", operations: 20_000) { count in
        for _ in 0..<count {
            keep(IntegrityKey.longTerm(.md5, username: "alice", realm: "relayd", password: "secret"))
        }
    }
}

private func measureWriting(_ recorder: inout Recorder) {
    var writer = MessageWriter(capacityBytes: 2048)
    let id = TransactionID(high: 1, low: 2)
    recorder.measure("stun/write-binding-answer", operations: 100_000) { count in
        for _ in 0..<count {
            writer.removeAll()
            writer.begin(.successResponse, .binding, id)
            writer.append(.xorMappedAddress, xorAddress: client)
            keep(writer.finish()?.count ?? 0)
        }
    }
    recorder.measure("stun/write-allocate-answer-sha1", operations: 20_000) { count in
        for _ in 0..<count {
            writer.removeAll()
            writer.begin(.successResponse, .allocate, id)
            writer.append(.xorRelayedAddress, xorAddress: client)
            writer.append(.xorMappedAddress, xorAddress: client)
            writer.append(.lifetime, uint32: 600)
            keep(writer.finish(signedWith: key, .sha1)?.count ?? 0)
        }
    }
    recorder.measure("stun/write-fingerprint", operations: 50_000) { count in
        for _ in 0..<count {
            writer.removeAll()
            writer.begin(.successResponse, .binding, id)
            writer.append(.xorMappedAddress, xorAddress: client)
            keep(writer.finish(fingerprint: true)?.count ?? 0)
        }
    }
}

/// Several datagrams in turn, so that nothing can be read once and for all.
private func measureChannelData(_ recorder: inout Recorder) {
    let packets = Packets((0..<64).map { [0x40, $0, 0, 160] + [UInt8](repeating: 7, count: 160) })
    var sum = 0
    recorder.measure("stun/parse-channel-data", operations: 1_000_000) { count in
        for index in 0..<count { sum &+= Int(ChannelData.parse(packets[index & 63])?.channel ?? 0) }
    }
    keep(sum)
}
