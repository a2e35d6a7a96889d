"""Rates where the kernel relays: what is too fast is dropped by the program, and nobody else notices."""

import time

from stun import channel_data
from test_limits import PAYLOAD, Sink, judge
from turn_client import udp_socket
from xdp import CHANNEL, client_of, echo, echo_until_in_kernel, echoing_peer, frames, metrics


def warm_up(relay, client, peer) -> None:
    """Exchanges a few bytes until both directions are the kernel's."""
    for _ in range(100):
        before = frames(relay, "forward")
        client.send_channel(CHANNEL, b"warm")
        data, relayed = peer.recvfrom(100)
        peer.sendto(data, relayed)
        assert client.receive_channel() == (CHANNEL, b"warm")
        if frames(relay, "forward") == before + 2:
            return
        time.sleep(0.02)
    raise AssertionError(f"the kernel does not relay: {metrics(relay)}")


def test_the_program_holds_each_direction_to_its_rate(wires, start_xdp):
    relay = start_xdp("--allocation-rate", "1Mbit")
    plain = udp_socket((wires.PEERS[4], 0), wires.peers)
    with client_of(wires) as greedy, plain as peer, client_of(wires, number=1) as modest, echoing_peer(wires) as echoing:
        greedy.allocate()
        greedy.bind_channel(CHANNEL, peer.getsockname())
        modest.allocate()
        modest.bind_channel(CHANNEL, echoing.address)
        peer.settimeout(5)
        warm_up(relay, greedy, peer)
        echo_until_in_kernel(relay, modest)
        before = frames(relay, "forward")
        echoed = 0
        at_peer, at_client = Sink(peer), Sink(greedy.socket, header_bytes=4)
        relayed, frame = greedy.relayed[0], channel_data(CHANNEL, PAYLOAD)
        begin = time.monotonic()
        sent = 0
        # Eight times the limit, each way, for two seconds.
        while (now := time.monotonic()) < begin + 2:
            while begin + sent * 0.001 <= now:
                greedy.socket.sendto(frame, greedy.server)
                peer.sendto(PAYLOAD, relayed)
                sent += 1
            echo(modest, b"%d" % sent)
            echoed += 1
            time.sleep(0.001)
        end = time.monotonic()
        Sink.stop(at_peer, at_client)
        judge(begin, end, at_peer)
        judge(begin, end, at_client)
        arrived = at_peer.datagrams + at_client.datagrams
        assert frames(relay, "forward") == before + arrived + 2 * echoed, "the kernel carried all of it"
        assert frames(relay, "drop", "rate") == 2 * sent - arrived
        assert metrics(relay)['relayd_dropped_datagrams_total{reason="over_limit"}'] == 0
    relay.stop()
