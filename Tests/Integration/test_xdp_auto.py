"""`auto` relays at once, and goes on with XDP when the kernel has taken the program."""

import pytest

from admin import change_plane, status
from conftest import relay_flags
from privileges import as_nobody
from test_xdp_hosts import LOADING, NEEDED, NET_ADMIN, capabilities_of, everybodys_binary  # noqa: F401
from waiting import eventually
from xdp import CHANNEL, PORT, client_of, echo, echo_until_in_kernel, echoing_peer, metrics

# Named, a veth is taken by `auto` too.
INTERFACES = ["--xdp-interface", "relay0", "--xdp-interface", "relay1"]


@pytest.fixture
def start_auto(wires, start_relay):
    def start(*more: str, wrapper=()):
        return start_relay(*relay_flags(wires), "--data-plane", "auto", "--http", "127.0.0.1:9090", *more,
                           namespace=wires.relay, ready_at=(wires.RELAY_LISTENERS[4], PORT), wrapper=wrapper)

    return start


def verdict(relay, plane: str) -> str:
    return {each["name"]: each["verdict"] for each in status(relay)["candidates"]}[plane]


def line_with(relay, *words: str) -> int:
    """Where in the log a line stands that has all of these words."""
    lines = relay.log().splitlines()
    found = [number for number, line in enumerate(lines) if all(word in line for word in words)]
    assert len(found) == 1, relay.log()
    return found[0]


def test_auto_answers_first_and_then_runs_on_xdp(wires, start_auto):
    relay = start_auto(*INTERFACES)
    with client_of(wires) as client, echoing_peer(wires) as peer:
        client.allocate()
        client.bind_channel(CHANNEL, peer.address)
        echo(client, b"whichever plane runs")
        eventually(lambda: status(relay)["plane"]["name"] == "xdp" and status(relay)["plane"]["settled"])
        echo_until_in_kernel(relay, client)
    plane = status(relay)["plane"]
    assert (plane["cause"], plane["failures"], plane["slow_path"]) == ("start", [], "io-uring")
    assert plane["fallbacks"] == ["io-uring", "socket"]
    assert verdict(relay, "xdp") == "usable"
    chosen = line_with(relay, "data plane chosen", "plane=io-uring", "next=")
    assert chosen < line_with(relay, "data plane runs", "plane=xdp", "cause=start")
    assert metrics(relay)['relayd_data_plane_changes_total{plane="xdp",cause="start"}'] == 1


def test_a_refusal_joins_the_others(wires, start_auto):
    relay = start_auto()
    eventually(lambda: verdict(relay, "xdp") == "refused")
    assert status(relay)["plane"]["name"] == "io-uring"
    reasons = {each["name"]: each.get("reason") for each in status(relay)["candidates"]}
    assert "veth" in reasons["xdp"]
    assert sum(value for name, value in metrics(relay).items()
               if name.startswith('relayd_data_plane_refused{plane="xdp"')) == 1
    line_with(relay, " info ", "data plane refused", "plane=xdp", "veth")


def test_who_asks_for_another_plane_meanwhile_keeps_it(wires, start_auto):
    relay = start_auto(*INTERFACES)
    change_plane(relay, "socket")
    eventually(lambda: verdict(relay, "xdp") == "usable")
    plane = status(relay)["plane"]
    assert (plane["name"], plane["cause"]) == ("socket", "swap")


def test_the_rights_to_load_are_kept_until_then_and_given_up(wires, start_auto, everybodys_binary):  # noqa: F811
    relay = start_auto(*INTERFACES, wrapper=as_nobody(*NEEDED, binary=everybodys_binary))
    eventually(lambda: status(relay)["plane"]["name"] == "xdp")
    with client_of(wires) as client, echoing_peer(wires) as peer:
        client.allocate()
        client.bind_channel(CHANNEL, peer.address)
        echo_until_in_kernel(relay, client)
    held = capabilities_of(relay.pid)
    assert set(held.values()) == {NET_ADMIN} and not NET_ADMIN & LOADING, held
