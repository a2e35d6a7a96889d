import RelayCore
import STUN

/// The core: classifying datagrams of few and of many sessions, and the control messages.
func measureCore(_ recorder: inout Recorder) {
    for sessions in [1, 64, 10_000] where recorder.mayWant("core/classify") {
        measureClassify(&recorder, sessions: sessions)
        if sessions > 1 { measureClassify(&recorder, sessions: sessions, isLimited: true) }
    }
    if recorder.mayWant("core/") { measureControl(&recorder) }
    if recorder.mayWant("core/expire") { measureTimers(&recorder) }
}

/// The timer wheel under the timers of 10,000 allocations, permissions and channels: a look at it within a tick, as
/// every turn of a worker has one, and the step to the next tick. Permissions last 300 s, so nothing ends meanwhile.
private func measureTimers(_ recorder: inout Recorder) {
    var fixture = CoreFixture(sessions: 10_000)
    recorder.measure("core/expire-within-tick", operations: 100_000) { operations in
        for _ in 0..<operations { fixture.core.expire(at: fixture.moment, into: &fixture.effects) }
    }
    recorder.measure("core/expire-next-tick", operations: 100) { operations in
        for _ in 0..<operations {
            fixture.moment.monotonic = fixture.moment.monotonic.advanced(byMilliseconds: 256)
            fixture.core.expire(at: fixture.moment, into: &fixture.effects)
        }
    }
    precondition(fixture.effects.list.isEmpty, "a timer ended something before its time")
}

private let payloadByteCount = 172

/// Every session in turn: at 10,000 each route comes from memory that no cache holds.
private func measureClassify(_ recorder: inout Recorder, sessions count: Int, isLimited: Bool = false) {
    var fixture = CoreFixture(sessions: count, isLimited: isLimited)
    let name = isLimited ? "limited-\(count)" : "\(count)"
    let clients = fixture.sessions.map(\.client)
    let peers = fixture.sessions.map(\.peer)
    let relays = fixture.sessions.map(\.relay)
    let up = Packets([[0x40, 0x00, 0, UInt8(payloadByteCount)] + [UInt8](repeating: 7, count: payloadByteCount)])
    let down = Packets([[UInt8](repeating: 7, count: payloadByteCount)])
    var forwarded = 0
    recorder.measure("core/classify-up-\(name)", operations: 100_000) { operations in
        var session = 0
        for _ in 0..<operations {
            if case .forward(let hop) = fixture.core.classify(up[0], on: CoreFixture.listener, from: clients[session]) {
                if fixture.core.admit(hop, at: fixture.moment.monotonic) { forwarded += 1 }
            }
            session = session + 1 == count ? 0 : session + 1
        }
    }
    recorder.measure("core/classify-down-\(name)", operations: 100_000) { operations in
        var session = 0
        for _ in 0..<operations {
            if case .forward(let hop) = fixture.core.classify(down[0], on: relays[session], from: peers[session]) {
                if fixture.core.admit(hop, at: fixture.moment.monotonic) { forwarded += 1 }
            }
            session = session + 1 == count ? 0 : session + 1
        }
    }
    precondition(forwarded % 100_000 == 0, "a datagram of a session was not forwarded")
}

private func measureControl(_ recorder: inout Recorder) {
    var fixture = CoreFixture(sessions: 64)
    let session = fixture.sessions[0]
    let packets = Packets([
        encode(.request, .binding, 1) { _ in },
        encode(.request, .allocate, 1) { $0.appendRequestedTransport(17) },
        CoreFixture.bind(session, id: 4),
        CoreFixture.refresh(session, id: 5, lifetimeSeconds: 600),
        [UInt8](repeating: 0xFF, count: 40),
    ])
    let names = ["core/binding", "core/challenge", "core/rebind-channel", "core/refresh"]
    let stranger = TransportAddress(IPAddress(v4: 0xC612_F001), port: 999)
    for (index, name) in names.enumerated() {
        let source = index < 2 ? stranger : session.client
        recorder.measure(name, operations: 10_000) { operations in
            for _ in 0..<operations {
                let datagram = packets[index]
                fixture.core.receive(
                    datagram, on: CoreFixture.listener, from: source, at: fixture.moment, into: &fixture.effects)
                fixture.perform()
            }
        }
    }
    recorder.measure("core/drop-garbage", operations: 100_000) { operations in
        for _ in 0..<operations {
            if case .drop = fixture.core.classify(packets[4], on: CoreFixture.listener, from: stranger) { continue }
            preconditionFailure("garbage was not dropped")
        }
    }
    measureCycle(&recorder)
    measureRouteInstall(&recorder)
}

/// ChannelBind of a second channel, each time of another session: what the core does to install a route, with the
/// permission that comes with it, without the plane's own table.
private func measureRouteInstall(_ recorder: inout Recorder) {
    var fixture = CoreFixture(sessions: 4000)
    let clients = fixture.sessions.map(\.client)
    let packets = Packets(
        fixture.sessions.enumerated().map { number, session in
            var second = CoreFixture.Session(
                client: session.client, peer: TransportAddress(IPAddress(v4: 0xC613_8001), port: session.peer.port),
                channel: session.channel + 1)
            second.nonce = session.nonce
            return CoreFixture.bind(second, id: UInt64(number + 10))
        })
    let before = fixture.routeChanges
    var next = 0
    // Ten rounds and the one to warm up are fewer than there are sessions.
    recorder.measure("core/install-route", operations: 300) { operations in
        for _ in 0..<operations where next < packets.count {
            fixture.core.receive(
                packets[next], on: CoreFixture.listener, from: clients[next], at: fixture.moment,
                into: &fixture.effects)
            fixture.perform()
            next += 1
        }
    }
    precondition(fixture.routeChanges - before >= next, "a new channel installed no route")
}

/// Allocate, ChannelBind and Refresh with lifetime 0, signed; the client's own work is not in it.
private func measureCycle(_ recorder: inout Recorder) {
    var fixture = CoreFixture(sessions: 1000)
    var session = fixture.sessions[0]
    session = CoreFixture.Session(
        client: TransportAddress(IPAddress(v4: 0xC612_4001), port: 20_000), peer: session.peer,
        channel: session.channel, nonce: session.nonce)
    let packets = Packets([
        CoreFixture.refresh(session, id: 10, lifetimeSeconds: 0), CoreFixture.allocate(session, id: 11),
        CoreFixture.bind(session, id: 12),
    ])
    recorder.measure("core/release-allocate-bind", operations: 2_000) { operations in
        for _ in 0..<operations {
            for index in 0..<3 {
                let datagram = packets[index]
                fixture.core.receive(
                    datagram, on: CoreFixture.listener, from: session.client, at: fixture.moment,
                    into: &fixture.effects)
                fixture.perform()
            }
            // Later than the wheel's next due slot, so that timers are paid for too.
            fixture.moment.monotonic = fixture.moment.monotonic.advanced(byMilliseconds: 1)
            fixture.core.expire(at: fixture.moment, into: &fixture.effects)
            fixture.perform()
        }
    }
}
