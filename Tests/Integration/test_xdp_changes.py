"""The host's network changes while the kernel relays: the program follows, or gives way with nothing lost."""

import socket
import subprocess
import time
from contextlib import contextmanager

import pytest

from admin import status
from kernel_objects import KernelObjects
from peer import EchoPeer
from relay import run_relayd
from turn_client import TurnClient
from waiting import eventually, wait_for_log
from xdp import (
    CHANNEL,
    PORT,
    client_of,
    echo,
    echo_until_in_kernel,
    echoing_peer,
    frames,
    is_forwarded,
    metrics,
    stop_after_a_failed_plane,
)

ETH_P_ALL = 3


@contextmanager
def relayed_client(wires, relay, family=4):
    """A client whose channel to an echoing peer the kernel relays."""
    with client_of(wires, family) as client, echoing_peer(wires, family) as peer:
        client.allocate(family)
        client.bind_channel(CHANNEL, peer.address)
        echo_until_in_kernel(relay, client)
        yield client


@contextmanager
def undone(wires, *words: str):
    """After the test the relay's namespace gets this `ip` command, and time to settle."""
    try:
        yield
    finally:
        wires.relay.ip(*words)
        time.sleep(0.2)


@contextmanager
def frames_at(namespace, interface: str):
    """A packet socket that sees the frames of an interface in one namespace."""
    with namespace:
        watching = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        watching.bind((interface, ETH_P_ALL))
    watching.settimeout(2)
    with watching:
        yield watching


def frame_with(watching: socket.socket, payload: bytes) -> bytes:
    while payload not in (frame := watching.recv(2048)):
        pass
    return frame


def goes_to(client, watching: socket.socket, payload: bytes) -> str:
    """The MAC address that a datagram of the client's leaves to."""
    client.send_channel(CHANNEL, payload)
    return frame_with(watching, payload)[0:6].hex()


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("interface", ["relay0", "relay1"])
def test_an_address_that_is_taken_away_is_relayed_for_no_more(wires, xdp_relay, interface, family):
    addresses = wires.RELAY_LISTENERS if interface == "relay0" else wires.RELAYS
    prefix = addresses[family] + ("/24" if family == 4 else "/64")
    add = ["address", "add", prefix, "dev", interface, *(["nodad"] if family == 6 else [])]
    with relayed_client(wires, xdp_relay, family) as client:
        with undone(wires, *add):
            wires.relay.ip("address", "del", prefix, "dev", interface)
            before = frames(xdp_relay, "pass", "no_next_hop")
            eventually(lambda: not is_forwarded(xdp_relay, client, b"to an address that is nobody's"))
            assert not is_forwarded(xdp_relay, client, b"and one more")
            # IPv6 asks for the neighbour again, and may not get an answer to send anything to.
            assert family == 6 or frames(xdp_relay, "pass", "no_next_hop") > before
        echo_until_in_kernel(xdp_relay, client)


def test_an_mtu_that_changes_is_followed(wires, xdp_relay):
    with relayed_client(wires, xdp_relay) as client:
        echo(client, b"x" * 1400)
        with undone(wires, "link", "set", "relay1", "mtu", "1500"):
            wires.relay.ip("link", "set", "relay1", "mtu", "1300")
            # A veth takes in nothing larger than its own.
            wires.peers.ip("link", "set", "peers0", "mtu", "1300")
            eventually(lambda: sends_as_too_big(xdp_relay, client))
            echo(client, b"small enough")
        wires.peers.ip("link", "set", "peers0", "mtu", "1500")
        before = frames(xdp_relay, "forward")
        echo(client, b"x" * 1400)
        assert frames(xdp_relay, "forward") == before + 2


def sends_as_too_big(relay, client) -> bool:
    before = frames(relay, "pass", "too_big")
    # In fragments, by the slow path.
    echo(client, b"x" * 1400)
    return frames(relay, "pass", "too_big") > before


def test_a_mac_address_of_our_own_that_changes_is_followed(wires, xdp_relay):
    with wires.relay:
        old = subprocess.run(["ip", "-br", "link", "show", "relay1"], capture_output=True, text=True,
                             check=True).stdout.split()[2]
    new = bytes.fromhex("020000007702")
    with relayed_client(wires, xdp_relay) as client, frames_at(wires.peers, "peers0") as watching:
        with undone(wires, "link", "set", "relay1", "address", old):
            wires.relay.ip("link", "set", "relay1", "address", "02:00:00:00:77:02")
            wires.peers.ip("neigh", "flush", "all")
            # The kernel has forgotten its neighbours.
            echo_until_in_kernel(xdp_relay, client)
            before = frames(xdp_relay, "forward", "ipv4_channel_to_ipv4_udp")
            client.send_channel(CHANNEL, b"with a new source")
            assert frame_with(watching, b"with a new source")[6:12] == new
            assert client.receive_channel() == (CHANNEL, b"with a new source")
            assert frames(xdp_relay, "forward", "ipv4_channel_to_ipv4_udp") == before + 1
        wires.peers.ip("neigh", "flush", "all")
        echo_until_in_kernel(xdp_relay, client)


def test_a_link_that_goes_down_and_up_is_followed(wires, xdp_relay):
    with relayed_client(wires, xdp_relay) as client:
        with undone(wires, "link", "set", "relay1", "up"):
            wires.relay.ip("link", "set", "relay1", "down")
            eventually(lambda: not is_forwarded(xdp_relay, client, b"nowhere to go"))
            assert not is_forwarded(xdp_relay, client, b"still nowhere to go")
        wires.relay.ip("address", "replace", wires.RELAYS[6] + "/64", "dev", "relay1", "nodad")
        client.socket.settimeout(0.3)
        eventually(lambda: is_echoed(client))
        echo_until_in_kernel(xdp_relay, client)
        assert "data plane failed" not in xdp_relay.log()


def is_echoed(client) -> bool:
    try:
        payload = b"%f" % time.monotonic()
        client.send_channel(CHANNEL, payload)
        while client.receive_channel()[1] != payload:
            pass
        return True
    except TimeoutError:
        return False


def expect_fallback(relay, client) -> None:
    """The plane below takes over with the same allocation, and the log says why."""
    eventually(lambda: metrics(relay)["relayd_xdp_routes"] == 0)
    # One worker took its routes along; the other one, which has none, may still be on its way.
    wait_for_log(relay, "cause=fallback")
    wait_for_log(relay, "data plane failed")
    for number in range(20):
        echo(client, b"by the plane below %d" % number)
    client.refresh(600)
    before = frames(relay, "forward")
    echo(client, b"and not by the program")
    assert frames(relay, "forward") == before


def test_a_program_that_is_detached_gives_way_to_the_plane_below(wires, start_xdp):
    relay = start_xdp()
    with relayed_client(wires, relay) as client, KernelObjects(relay.pid) as objects:
        objects.detach_a_link()
        for number in range(100):
            echo(client, b"meanwhile %d" % number)
        expect_fallback(relay, client)
        assert "somebody detached the program" in relay.log()
    stop_after_a_failed_plane(relay)


def test_an_interface_that_is_deleted_gives_way_to_the_plane_below(wires, start_xdp):
    wires.relay.ip("link", "add", "spare0", "type", "veth", "peer", "name", "spare1")
    wires.relay.ip("address", "add", "10.71.3.1/24", "dev", "spare0")
    wires.relay.ip("link", "set", "spare0", "up")
    relay = start_xdp("--xdp-interface", "relay0", "--xdp-interface", "relay1", "--xdp-interface", "spare0")
    assert metrics(relay)['relayd_xdp_attachment{at="spare0 native"}'] == 1
    with relayed_client(wires, relay) as client:
        wires.relay.ip("link", "del", "spare0")
        expect_fallback(relay, client)
        assert "no longer attached to spare0" in relay.log()
    stop_after_a_failed_plane(relay)


def test_an_interface_that_gets_an_address_of_the_relay_gets_the_program(wires, start_xdp):
    wires.relay.ip("link", "add", "spare0", "type", "veth", "peer", "name", "spare1")
    try:
        wires.relay.ip("link", "set", "spare0", "up")
        relay = start_xdp()
        wires.relay.ip("address", "add", wires.RELAYS[4] + "/32", "dev", "spare0")
        eventually(lambda: metrics(relay).get('relayd_xdp_attachment{at="spare0 native"}') == 1)
        with relayed_client(wires, relay):
            pass
        wires.relay.ip("address", "del", wires.RELAYS[4] + "/32", "dev", "spare0")
        relay.stop()
    finally:
        wires.relay.ip("link", "del", "spare0")


@pytest.mark.parametrize("made_as,mend,words", [
    (["mtu", "9000"], ["ip", "link", "set", "spare0", "mtu", "1500"], "its MTU is 9000"),
    (["numrxqueues", "1", "numtxqueues", "1"], ["ethtool", "-L", "spare1", "tx", "1"], "fewer queues to receive by"),
], ids=["before-attaching", "by-the-kernel"])
def test_an_interface_that_gets_an_address_and_refuses_the_program_is_shown(wires, start_xdp, made_as, mend, words):
    address = ["address", "add", wires.RELAYS[4] + "/32", "dev", "spare0"]
    wires.relay.ip("link", "add", "spare0", *made_as, "type", "veth", "peer", "name", "spare1",
                   "numrxqueues", "4", "numtxqueues", "4")
    try:
        wires.relay.ip("link", "set", "spare0", "up")
        relay = start_xdp()
        wires.relay.ip(*address)
        eventually(lambda: status(relay)["xdp"]["refused_interfaces"])
        (reason,) = status(relay)["xdp"]["refused_interfaces"]
        assert "spare0" in reason and words in reason, reason
        assert metrics(relay)["relayd_xdp_refused_interfaces"] == 1
        with wires.relay:
            said = run_relayd("status", "--http", "127.0.0.1:9090").stdout
        assert "not attached" in said and words in said, said
        with relayed_client(wires, relay):
            pass
        # Nothing that matters to it changes, and it is looked at again.
        wires.relay.ip("address", "add", "198.51.100.77/32", "dev", "spare0")
        time.sleep(0.3)
        with wires.relay:
            subprocess.run(mend, check=True)
        wires.relay.ip("address", "del", "198.51.100.77/32", "dev", "spare0")
        eventually(lambda: metrics(relay).get('relayd_xdp_attachment{at="spare0 native"}') == 1)
        assert status(relay)["xdp"]["refused_interfaces"] == []
        assert relay.log().count("interface without XDP") == 1, relay.log()
        relay.stop()
    finally:
        wires.relay.ip("link", "del", "spare0")


@contextmanager
def routers(wires):
    """Clients and peers behind a router each: their namespaces, which hold addresses that the relay reaches by way of
    the ones on the wire."""
    routes = [("198.18.1.0/24", wires.CLIENTS[4][9], "relay0"), ("198.18.2.0/24", wires.PEERS[4], "relay1"),
              ("fd71:f1::/64", wires.CLIENTS[6][9], "relay0"), ("fd71:f2::/64", wires.PEERS[6], "relay1")]
    for network, router, interface in routes:
        wires.relay.ip("route", "add", network, "via", router, "dev", interface)
    for namespace, addresses in ((wires.clients, ("198.18.1.2/32", "fd71:f1::2/128")),
                                 (wires.peers, ("198.18.2.2/32", "fd71:f2::2/128"))):
        for address in addresses:
            namespace.ip("address", "add", address, "dev", "lo", *(["nodad"] if ":" in address else []))
    try:
        yield {4: ("198.18.1.2", "198.18.2.2"), 6: ("fd71:f1::2", "fd71:f2::2")}
    finally:
        for network, router, interface in routes:
            wires.relay.ip("route", "del", network, "dev", interface)
        for namespace, addresses in ((wires.clients, ("198.18.1.2/32", "fd71:f1::2/128")),
                                     (wires.peers, ("198.18.2.2/32", "fd71:f2::2/128"))):
            for address in addresses:
                namespace.ip("address", "del", address, "dev", "lo")


@pytest.mark.parametrize("family", [4, 6])
def test_two_interfaces_with_a_router_each_whose_mac_address_changes(wires, start_xdp, family):
    relay = start_xdp("--allow-peer", "198.18.2.0/24", "--allow-peer", "fd71:f2::/64")
    with routers(wires) as hosts:
        client_host, peer_host = hosts[family]
        client = TurnClient((wires.RELAY_LISTENERS[family], PORT), bind=client_host, namespace=wires.clients)
        with client, EchoPeer(peer_host, wires.peers) as peer:
            client.allocate(family)
            client.bind_channel(CHANNEL, peer.address)
            echo_until_in_kernel(relay, client)
            router = wires.PEERS[family]
            with frames_at(wires.peers, "peers0") as watching:
                # A permanent entry: the neighbour is not asked, so the change is the kernel's table's alone.
                with undone(wires, "neigh", "del", router, "dev", "relay1"):
                    wires.relay.ip("neigh", "replace", router, "lladdr", "02:00:00:00:77:03", "dev", "relay1",
                                   "nud", "permanent")
                    eventually(lambda: goes_to(client, watching, b"by which router?") == "020000007703")
                    before = frames(relay, "forward")
                    assert goes_to(client, watching, b"to the router's new address") == "020000007703"
                    assert frames(relay, "forward") == before + 1
            echo_until_in_kernel(relay, client)


def test_a_route_by_another_router_is_followed(wires, start_xdp):
    relay = start_xdp("--allow-peer", "198.18.2.0/24")
    with routers(wires) as hosts, client_of(wires) as client, EchoPeer(hosts[4][1], wires.peers) as peer:
        client.allocate()
        client.bind_channel(CHANNEL, peer.address)
        echo_until_in_kernel(relay, client)
        with frames_at(wires.peers, "peers0") as watching:
            wires.relay.ip("neigh", "replace", "10.71.2.77", "lladdr", "02:00:00:00:77:04", "dev", "relay1",
                           "nud", "permanent")
            with undone(wires, "neigh", "del", "10.71.2.77", "dev", "relay1"):
                wires.relay.ip("route", "replace", "198.18.2.0/24", "via", "10.71.2.77", "dev", "relay1")
                eventually(lambda: goes_to(client, watching, b"by the other router") == "020000007704")


def test_a_route_that_is_gone_takes_its_datagrams_along(wires, start_xdp):
    relay = start_xdp("--allow-peer", "198.18.2.0/24")
    with routers(wires) as hosts, client_of(wires) as client, EchoPeer(hosts[4][1], wires.peers) as peer:
        client.allocate()
        client.bind_channel(CHANNEL, peer.address)
        echo_until_in_kernel(relay, client)
        with undone(wires, "route", "add", "198.18.2.0/24", "via", wires.PEERS[4], "dev", "relay1"):
            wires.relay.ip("route", "del", "198.18.2.0/24", "dev", "relay1")
            eventually(lambda: not is_forwarded(relay, client, b"no way out"))
            assert not is_forwarded(relay, client, b"still no way out")
        echo_until_in_kernel(relay, client)
