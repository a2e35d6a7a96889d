"""XDP where an interface does not send what is redirected to it: the other end of its veth has neither GRO nor a
program."""

import subprocess
import time
from contextlib import contextmanager

from xdp import CHANNEL, client_of, echo, echo_until_in_kernel, echoing_peer, frames


def set_gro(namespace, interface: str, state: str) -> None:
    with namespace:
        subprocess.run(["ethtool", "-K", interface, "gro", state], check=True, stdout=subprocess.DEVNULL)


@contextmanager
def without_gro(wires):
    ends = ((wires.clients, "clients0"), (wires.peers, "peers0"))
    for end in ends:
        set_gro(*end, "off")
    try:
        yield
    finally:
        for end in ends:
            set_gro(*end, "on")


def passed(relay) -> int:
    return frames(relay, "pass", "no_next_hop")


def test_nothing_is_redirected_where_it_would_be_lost(wires, start_xdp):
    with without_gro(wires):
        relay = start_xdp()
        with client_of(wires) as client, echoing_peer(wires) as peer:
            client.allocate()
            client.bind_channel(CHANNEL, peer.address)
            for number in range(10):
                echo(client, b"slowly %d" % number)
            time.sleep(1)
            before = frames(relay, "forward"), passed(relay)
            for number in range(10):
                echo(client, b"neighbours are known %d" % number)
            assert (frames(relay, "forward"), passed(relay)) == (before[0], before[1] + 20)

            # One end that sends again takes its direction, at the next look.
            set_gro(wires.peers, "peers0", "on")
            time.sleep(1.5)
            before = frames(relay, "forward"), passed(relay)
            echo(client, b"one way")
            assert (frames(relay, "forward"), passed(relay)) == (before[0] + 1, before[1] + 1)


def test_an_end_that_gives_up_gro_is_followed(wires, start_xdp):
    relay = start_xdp()
    with client_of(wires) as client, echoing_peer(wires) as peer:
        client.allocate()
        client.bind_channel(CHANNEL, peer.address)
        echo_until_in_kernel(relay, client)
        with without_gro(wires):
            time.sleep(1.5)
            before = passed(relay)
            for number in range(5):
                echo(client, b"slowly %d" % number)
            assert passed(relay) == before + 10
        time.sleep(1.5)
        echo_until_in_kernel(relay, client)


def test_the_generic_mode_needs_none(wires, start_xdp):
    with without_gro(wires):
        relay = start_xdp("--xdp-mode", "generic")
        with client_of(wires) as client, echoing_peer(wires) as peer:
            client.allocate()
            client.bind_channel(CHANNEL, peer.address)
            echo_until_in_kernel(relay, client)
