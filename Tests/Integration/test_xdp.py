"""Bound channels relayed in the kernel: native XDP on the relay's two interfaces, real checksums on every frame."""

import asyncio
import os
import signal
import socket
import struct
import subprocess
import time
from contextlib import contextmanager

import pytest

from admin import request
from conftest import relay_flags
from peer import EchoPeer
from relay import run_relayd
from test_clients import BOUNDED, MESSAGES, WITH_PASSWORD, expect_no_loss, ice_session, uclient
from turn_client import udp_socket
from waiting import eventually, wait_for_log
from xdp import CHANNEL, client_of, echo_until_in_kernel, frames, metrics

# Python's socket module does not know it.
IP_RECVTTL = 12


@pytest.mark.parametrize("peer_family", [4, 6])
@pytest.mark.parametrize("client_family", [4, 6])
def test_the_kernel_relays_both_ways(wires, xdp_relay, client_family, peer_family):
    with client_of(wires, client_family) as client, EchoPeer(wires.PEERS[peer_family], wires.peers) as peer:
        client.allocate(peer_family)
        client.bind_channel(CHANNEL, peer.address)
        echo_until_in_kernel(xdp_relay, client)
        before = frames(xdp_relay, "forward")
        lengths = [0, 1, 2, 3, 4, 5, 172, 1200]
        for length in lengths:
            payload = os.urandom(length)
            client.send_channel(CHANNEL, payload)
            assert client.receive_channel() == (CHANNEL, payload)
        assert frames(xdp_relay, "forward") == before + 2 * len(lengths)
        assert frames(xdp_relay, "forward", f"ipv{client_family}_channel_to_ipv{peer_family}_udp") >= len(lengths)
        assert metrics(xdp_relay)["relayd_xdp_routes"] == 1
        client.refresh(0)
        assert metrics(xdp_relay)["relayd_xdp_routes"] == 0


def test_what_the_kernel_relayed_is_in_the_totals(wires, xdp_relay):
    with client_of(wires) as client, EchoPeer(wires.PEERS[4], wires.peers) as peer:
        client.allocate()
        client.bind_channel(CHANNEL, peer.address)
        echo_until_in_kernel(xdp_relay, client)
        for _ in range(50):
            client.send_channel(CHANNEL, b"x" * 100)
            client.receive_channel()
        # The worker asks once a second, and shows what it knows ten times a second.
        name = 'relayd_relayed_bytes_total{plane="xdp",path="channel",direction="to_peer"}'
        eventually(lambda: metrics(xdp_relay).get(name, 0) >= 5000)


def ended(relay) -> list[dict[str, str]]:
    """The fields of the lines about sessions that ended."""
    wait_for_log(relay, "allocation ended")
    return [dict(word.split("=", 1) for word in line.split() if "=" in word)
            for line in relay.log().splitlines() if "allocation ended" in line]


def test_what_the_kernel_relayed_last_is_in_the_line_about_the_end(wires, start_xdp):
    relay = start_xdp()
    with client_of(wires) as client, EchoPeer(wires.PEERS[4], wires.peers) as peer:
        client.allocate()
        client.bind_channel(CHANNEL, peer.address)
        echo_until_in_kernel(relay, client)
        for _ in range(50):
            client.send_channel(CHANNEL, b"x" * 100)
            client.receive_channel()
        # At once: the worker asks the kernel once a second.
        client.refresh(0)
    (line,) = ended(relay)
    assert int(line["xdp_to_peers_packets"]) >= 50 and int(line["xdp_to_client_bytes"]) >= 5000, line
    shares = [int(value) for name, value in line.items() if name.endswith("_to_peers_bytes")]
    assert sum(shares) == int(line["to_peers_bytes"]), line


def test_a_kicked_session_leaves_the_kernel_at_once(wires, start_xdp):
    relay = start_xdp()
    with client_of(wires) as client, EchoPeer(wires.PEERS[4], wires.peers) as peer:
        client.allocate()
        client.bind_channel(CHANNEL, peer.address)
        echo_until_in_kernel(relay, client)
        before = frames(relay, "forward")
        code, text = request("POST", "/kick", {"user": "alice"}, namespace=relay.namespace)
        assert (code, text) == (200, '{"kicked":1}\n')
        assert metrics(relay)["relayd_xdp_routes"] == 0
        client.send_channel(CHANNEL, b"to nobody")
        client.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.receive_channel()
        assert frames(relay, "forward") == before
    assert ended(relay)[0]["reason"] == "kicked"


@pytest.mark.parametrize("second_family", [4, 6])
@pytest.mark.parametrize("first_family", [4, 6])
def test_clients_of_one_relay_meet_in_the_kernel(wires, xdp_relay, first_family, second_family):
    for relayed in (4, 6):
        with client_of(wires, first_family, 0) as one, client_of(wires, second_family, 1) as two:
            one.allocate(relayed)
            two.allocate(relayed)
            one.bind_channel(CHANNEL, two.relayed[0])
            two.bind_channel(CHANNEL + 1, one.relayed[0])
            path = f"ipv{first_family}_channel_to_ipv{second_family}_channel"
            before = frames(xdp_relay, "forward", path)
            for number in range(10):
                one.send_channel(CHANNEL, b"to two %d" % number)
                assert two.receive_channel() == (CHANNEL + 1, b"to two %d" % number)
                two.send_channel(CHANNEL + 1, b"to one %d" % number)
                assert one.receive_channel() == (CHANNEL, b"to one %d" % number)
            assert frames(xdp_relay, "forward", path) >= before + 10


def test_clients_behind_one_to_one_nat_meet_in_the_kernel(wires, start_xdp):
    relay = start_xdp("--external-address", "203.0.113.7", "--external-address", "2001:db8::7")
    for family, external in ((4, "203.0.113.7"), (6, "2001:db8::7")):
        with client_of(wires, number=0) as one, client_of(wires, number=1) as two:
            one.allocate(family)
            two.allocate(family)
            assert one.relayed[0][0] == two.relayed[0][0] == external
            one.bind_channel(CHANNEL, two.relayed[0])
            two.bind_channel(CHANNEL, one.relayed[0])
            before = frames(relay, "forward")
            one.send_channel(CHANNEL, b"to two")
            assert two.receive_channel() == (CHANNEL, b"to two")
            two.send_channel(CHANNEL, b"to one")
            assert one.receive_channel() == (CHANNEL, b"to one")
            assert frames(relay, "forward") == before + 2


def test_padding_of_a_client_is_relayed_without_it(wires, xdp_relay):
    with client_of(wires) as client, EchoPeer(wires.PEERS[4], wires.peers) as peer:
        client.allocate()
        client.bind_channel(CHANNEL, peer.address)
        echo_until_in_kernel(xdp_relay, client)
        before = frames(xdp_relay, "forward")
        for length in range(1, 9):
            payload = os.urandom(length)
            padding = os.urandom(-length % 4)
            client.socket.sendto(struct.pack("!HH", CHANNEL, length) + payload + padding, client.server)
            assert client.receive_channel() == (CHANNEL, payload)
        assert frames(xdp_relay, "forward") == before + 16


def test_what_is_too_large_takes_the_slow_path(wires, xdp_relay):
    with client_of(wires, 4) as client, EchoPeer(wires.PEERS[6], wires.peers) as peer:
        client.allocate(6)
        client.bind_channel(CHANNEL, peer.address)
        echo_until_in_kernel(xdp_relay, client)
        # A whole frame of IPv4 is 16 bytes too long for one of IPv6.
        payload = os.urandom(1468)
        client.send_channel(CHANNEL, payload)
        assert client.receive_channel() == (CHANNEL, payload)
        assert frames(xdp_relay, "pass", "too_big") >= 1


def test_fragments_take_the_slow_path(wires, xdp_relay):
    with client_of(wires) as client, EchoPeer(wires.PEERS[4], wires.peers) as peer:
        client.allocate()
        client.bind_channel(CHANNEL, peer.address)
        echo_until_in_kernel(xdp_relay, client)
        payload = os.urandom(4000)
        client.send_channel(CHANNEL, payload)
        assert client.receive_channel() == (CHANNEL, payload)
        assert frames(xdp_relay, "pass", "fragment") >= 3


def test_replies_to_the_host_itself_are_left_alone(wires, xdp_relay):
    # As of a resolver on the relay's host, on a port that lies among the relayed ones.
    with EchoPeer(wires.PEERS[4], wires.peers) as server:
        asker = udp_socket((wires.RELAYS[4], 60_123), wires.relay)
        with asker:
            for number in range(20):
                asker.sendto(b"\x40\x00\x00\x04question %d" % number, server.address)
                assert asker.recv(2048).endswith(b"question %d" % number)


def test_a_released_port_relays_for_its_next_owner_only(wires, xdp_relay):
    peer = udp_socket((wires.PEERS[4], 0), wires.peers)
    with client_of(wires, number=0) as one, client_of(wires, number=1) as two, peer:
        for round in range(20):
            for name, client in ((b"one", one), (b"two", two)):
                client.allocate()
                client.bind_channel(CHANNEL, peer.getsockname())
                for number in range(5):
                    client.send_channel(CHANNEL, b"%s %d %d" % (name, round, number))
                    data, sender = peer.recvfrom(2048)
                    assert (data, sender) == (b"%s %d %d" % (name, round, number), client.relayed[0])
                    peer.sendto(data, sender)
                    assert client.receive_channel() == (CHANNEL, data)
                client.refresh(0)
        assert frames(xdp_relay, "forward") > 200
        assert metrics(xdp_relay)["relayd_xdp_routes"] == 0


def test_a_neighbour_that_changes_its_address_is_followed(wires, xdp_relay):
    with client_of(wires) as client, EchoPeer(wires.PEERS[4], wires.peers) as peer:
        client.allocate()
        client.bind_channel(CHANNEL, peer.address)
        echo_until_in_kernel(xdp_relay, client)
        wires.peers.ip("link", "set", "peers0", "address", "02:00:00:00:77:01")
        # The peer asks who the relay is, and with that says who it is now.
        wires.peers.ip("neigh", "flush", "all")
        for family in (4, 6):
            with udp_socket((wires.PEERS[family], 0), wires.peers) as other:
                other.sendto(b"hello", (wires.RELAYS[family], 9))
        time.sleep(0.2)
        echo_until_in_kernel(xdp_relay, client)


def test_routes_without_room_stay_on_the_slow_path(wires, start_xdp):
    relay = start_xdp("--xdp-routes", "2")
    with client_of(wires) as client, EchoPeer(wires.PEERS[4], wires.peers) as peer:
        others = [EchoPeer(wires.PEERS[4], wires.peers) for _ in range(3)]
        client.allocate()
        for number, each in enumerate([peer, *others]):
            client.bind_channel(CHANNEL + number, each.address)
            client.send_channel(CHANNEL + number, b"hello")
            assert client.receive_channel() == (CHANNEL + number, b"hello")
        seen = metrics(relay)
        assert (seen["relayd_xdp_routes"], seen["relayd_xdp_refused_routes_total"]) == (2, 2)
        for each in others:
            each.__exit__()


def test_a_killed_relay_forwards_no_more_and_its_successor_does(wires, start_xdp):
    relay = start_xdp()
    peer = udp_socket((wires.PEERS[4], 0), wires.peers)
    with client_of(wires) as client, peer:
        client.allocate()
        client.bind_channel(CHANNEL, peer.getsockname())
        client.send_channel(CHANNEL, b"alive")
        assert peer.recv(2048) == b"alive"
        os.kill(relay.pid, signal.SIGKILL)
        relay.process.wait()
        client.send_channel(CHANNEL, b"dead")
        peer.settimeout(0.3)
        with pytest.raises(TimeoutError):
            peer.recv(2048)
    relay = start_xdp()
    with client_of(wires, number=1) as client, EchoPeer(wires.PEERS[4], wires.peers) as peer:
        client.allocate()
        client.bind_channel(CHANNEL, peer.address)
        echo_until_in_kernel(relay, client)


@pytest.mark.parametrize("family", [4, 6])
def test_header_fields_are_carried_across(wires, xdp_relay, family):
    level, tos, want_tos, ttl, want_ttl = (
        (socket.IPPROTO_IP, socket.IP_TOS, socket.IP_RECVTOS, socket.IP_TTL, IP_RECVTTL) if family == 4 else
        (socket.IPPROTO_IPV6, socket.IPV6_TCLASS, socket.IPV6_RECVTCLASS, socket.IPV6_UNICAST_HOPS,
         socket.IPV6_RECVHOPLIMIT))
    peer = udp_socket((wires.PEERS[family], 0), wires.peers)
    with client_of(wires, family) as client, peer:
        client.allocate(family)
        client.bind_channel(CHANNEL, peer.getsockname()[:2])
        # Until the kernel knows the peer.
        client.send_channel(CHANNEL, b"warm")
        peer.recv(2048)
        time.sleep(0.2)
        peer.setsockopt(level, want_tos, 1)
        peer.setsockopt(level, want_ttl, 1)
        for field, hops in ((46 << 2, 64), (34 << 2 | 2, 7), (0, 255)):
            client.socket.setsockopt(level, tos, field)
            client.socket.setsockopt(level, ttl, hops)
            client.send_channel(CHANNEL, b"to peer")
            _, ancillary, _, _ = peer.recvmsg(2048, 128)
            values = sorted(int.from_bytes(value[:4], "little") for _, _, value in ancillary)
            assert values == sorted((field, hops - 1))


@contextmanager
def echoing_with_turnutils(wires, family: int):
    """The address of a turnutils_peer."""
    address = wires.PEERS[family]
    with wires.peers:
        echo = subprocess.Popen(["turnutils_peer", "-L", address], stdout=subprocess.DEVNULL)
    try:
        yield address
    finally:
        echo.terminate()
        echo.wait()


@pytest.mark.parametrize("peer_family", [4, 6])
@pytest.mark.parametrize("server_family", [4, 6])
def test_uclient_through_the_kernel(wires, start_xdp, server_family, peer_family):
    relay = start_xdp("--rfc5766-channel-numbers")
    with echoing_with_turnutils(wires, peer_family) as address:
        run = uclient(wires, *WITH_PASSWORD, *BOUNDED, "-c", "-m", "8", "-x" if peer_family == 6 else "-X", "-e",
                      address, wires.RELAY_LISTENERS[server_family])
        expect_no_loss(run, MESSAGES * 8)
    # All but what came before the routes and the neighbours were known.
    assert frames(relay, "forward") > MESSAGES * 8 * 2 * 0.8, metrics(relay)


@pytest.mark.parametrize("server_family", [4, 6])
def test_uclient_that_pads_its_channel_data(wires, start_xdp, server_family):
    relay = start_xdp("--rfc5766-channel-numbers")
    with echoing_with_turnutils(wires, 4) as address:
        # 171 bytes and one of padding.
        padded = ["-n", str(MESSAGES), "-l", "171", "-D", "-c", "-m", "8"]
        run = uclient(wires, *WITH_PASSWORD, *padded, "-X", "-e", address, wires.RELAY_LISTENERS[server_family])
        expect_no_loss(run, MESSAGES * 8)
    up, down = (frames(relay, "forward", path) for path in (
        f"ipv{server_family}_channel_to_ipv4_udp", f"ipv4_udp_to_ipv{server_family}_channel"))
    assert min(up, down) > MESSAGES * 8 * 0.8, metrics(relay)


# As on the userspace planes; what takes indications, or RTCP's channels, is the slow path's beside the kernel's.
@pytest.mark.parametrize("flags,family,path", [
    (["-c"], 4, "ipv4_channel_to_ipv4_channel"),
    ([], 4, "ipv4_channel_to_ipv4_channel"),
    (["-c", "-x"], 6, "ipv6_channel_to_ipv6_channel"),
    (["-c", "-g"], 4, "ipv4_channel_to_ipv4_channel"),
    (["-c", "-s"], 4, None),
], ids=["channels", "rtcp", "ipv6", "dont-fragment", "indications"])
def test_uclients_meet_in_the_kernel(wires, start_xdp, flags, family, path):
    relay = start_xdp("--rfc5766-channel-numbers")
    run = uclient(wires, *WITH_PASSWORD, *BOUNDED, "-y", "-m", "4", *flags, wires.RELAY_LISTENERS[family])
    expect_no_loss(run, MESSAGES * 4)
    if path is None:
        assert frames(relay, "forward") == 0, "indications are no channel data"
    else:
        assert frames(relay, "forward", path) > MESSAGES * 4 * 0.8, metrics(relay)


@pytest.mark.parametrize("server_family", [4, 6])
def test_aioice_through_the_kernel(wires, start_xdp, server_family):
    relay = start_xdp()
    with wires.clients:
        asyncio.run(ice_session((wires.RELAY_LISTENERS[server_family], 3478), wires.RELAYS[4]))
    path = f"ipv{server_family}_channel_to_ipv{server_family}_channel"
    # Two agents, and 200 datagrams each.
    assert frames(relay, "forward", path) > 2 * 200 * 0.8, metrics(relay)


def test_doctor_speaks_of_the_interfaces(wires):
    with wires.relay:
        said = run_relayd("doctor", *relay_flags(wires)).stdout
    for words in ("xdp: no: XDP on relay0: it is a veth", "relay0: driver veth, native XDP, MTU 1500", "capabilities: enough",
                  "kernel: Linux ", "LRO off", "queues, "):
        assert words in said, said
