"""XDP on other hosts than the usual one: a single stack, one interface, generic mode, the program's own look-ups, few
rights."""

import os
import pathlib
import resource
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager

import pytest

from admin import status
from conftest import relay_flags
from kernel_objects import KernelObjects
from peer import EchoPeer
from privileges import as_nobody
from relay import BINARY, CREDENTIALS, run_relayd
from turn_client import udp_socket
from waiting import eventually
from xdp import CHANNEL, PORT, client_of, echo, echo_until_in_kernel, echoing_peer, frames, metrics

# What docs/planes.md says that an ordinary user needs.
NEEDED = ("bpf", "net_admin", "perfmon")
# The numbers of CAP_NET_ADMIN and of what only loading takes: CAP_SYS_ADMIN, CAP_PERFMON, CAP_BPF.
NET_ADMIN, LOADING = 1 << 12, 1 << 21 | 1 << 38 | 1 << 39


@pytest.mark.parametrize("family", [4, 6])
def test_a_single_stack(wires, start_xdp, family):
    relay = start_xdp(flags=relay_flags(wires, families=[family]), ready_family=family)
    with client_of(wires, family, 0) as one, client_of(wires, family, 1) as two, echoing_peer(wires, family) as peer:
        one.allocate(family)
        two.allocate(family)
        one.bind_channel(CHANNEL, peer.address)
        echo_until_in_kernel(relay, one)
        one.bind_channel(CHANNEL + 1, two.relayed[0])
        two.bind_channel(CHANNEL, one.relayed[0])
        before = frames(relay, "forward")
        one.send_channel(CHANNEL + 1, b"to two")
        assert two.receive_channel() == (CHANNEL, b"to two")
        assert frames(relay, "forward") == before + 1


@pytest.mark.parametrize("peer_family", [4, 6])
@pytest.mark.parametrize("client_family", [4, 6])
def test_generic_mode(wires, start_xdp, client_family, peer_family):
    relay = start_xdp("--xdp-mode", "generic")
    assert metrics(relay)['relayd_xdp_attachment{at="relay0 generic"}'] == 1
    with client_of(wires, client_family) as client, echoing_peer(wires, peer_family) as peer:
        client.allocate(peer_family)
        client.bind_channel(CHANNEL, peer.address)
        echo_until_in_kernel(relay, client)
        before = frames(relay, "forward")
        lengths = [0, 1, 2, 3, 172, 1400]
        for length in lengths:
            echo(client, os.urandom(length))
        assert frames(relay, "forward") == before + 2 * len(lengths)


def one_interface_flags(wires) -> list[str]:
    """Clients and peers on the same wire, as on a host in a cloud."""
    flags = list(CREDENTIALS)
    for family in (4, 6):
        host = wires.RELAY_LISTENERS[family]
        flags += ["--listen", f"[{host}]:3478" if family == 6 else f"{host}:3478", "--relay-address", host]
    return flags + ["--allow-peer", "10.71.1.0/24", "--allow-peer", "fd71:1::/64"]


@pytest.mark.parametrize("next_hop", ["swap", "fib"])
@pytest.mark.parametrize("peer_family", [4, 6])
def test_one_interface(wires, start_xdp, peer_family, next_hop):
    relay = start_xdp("--xdp-next-hop", next_hop, flags=one_interface_flags(wires))
    with client_of(wires) as client, EchoPeer(wires.CLIENTS[peer_family][5], wires.clients) as peer:
        client.allocate(peer_family)
        client.bind_channel(CHANNEL, peer.address)
        echo_until_in_kernel(relay, client)
        before = frames(relay, "forward")
        for length in (0, 5, 1400):
            echo(client, os.urandom(length))
        assert frames(relay, "forward") == before + 6
        # The largest that leaves in one frame, and one byte more where that still comes in one.
        largest = 1468 if peer_family == 4 else 1452
        echo(client, os.urandom(largest))
        assert frames(relay, "forward") == before + 8 and frames(relay, "pass", "too_big") == 0
        if peer_family == 6:
            echo(client, os.urandom(largest + 1))
            assert frames(relay, "pass", "too_big") == 1


@contextmanager
def default_routes(wires, interface: str, routers: dict[int, str]):
    """The relay's host reaches the world by these routers."""
    for family, router in routers.items():
        wires.relay.ip(f"-{family}", "route", "add", "default", "via", router, "dev", interface)
    try:
        yield
    finally:
        for family in routers:
            wires.relay.ip(f"-{family}", "route", "del", "default")


def wildcard_flags(wires) -> list[str]:
    """Clients come in by an interface that no address of the relay's configuration names."""
    flags = [*CREDENTIALS, "--listen", f"0.0.0.0:{PORT}", "--listen", f"[::]:{PORT}"]
    for family in (4, 6):
        flags += ["--relay-address", wires.RELAYS[family]]
    return flags + ["--allow-peer", "10.71.2.0/24", "--allow-peer", "fd71:2::/64"]


@pytest.mark.parametrize("family", [4, 6])
def test_clients_of_a_wildcard_listener_come_by_the_default_route(wires, start_xdp, family):
    with default_routes(wires, "relay0", {family: wires.CLIENTS[family][9]}):
        relay = start_xdp(flags=wildcard_flags(wires))
        eventually(lambda: status(relay)["xdp"]["attachments"] == ["relay1 native", "relay0 native"])
        with wires.relay:
            said = run_relayd("doctor", *wildcard_flags(wires)).stdout
        assert "relay0: driver veth" in said and "relay1: driver veth" in said, said
        with client_of(wires, family) as client, echoing_peer(wires, family) as peer:
            client.allocate(family)
            client.bind_channel(CHANNEL, peer.address)
            echo_until_in_kernel(relay, client)
            before = frames(relay, "forward")
            for number in range(20):
                echo(client, b"by the kernel %d" % number)
            assert frames(relay, "forward") == before + 40


def test_a_default_route_that_comes_later_brings_the_program(wires, start_xdp):
    relay = start_xdp(flags=wildcard_flags(wires))
    assert status(relay)["xdp"]["attachments"] == ["relay1 native"]
    with default_routes(wires, "relay0", {4: wires.CLIENTS[4][9]}):
        eventually(lambda: "relay0 native" in status(relay)["xdp"]["attachments"])
        with client_of(wires) as client, echoing_peer(wires) as peer:
            client.allocate()
            client.bind_channel(CHANNEL, peer.address)
            echo_until_in_kernel(relay, client)


def test_a_default_route_whose_interface_goes_takes_nothing_along(wires, start_xdp):
    wires.relay.ip("link", "add", "uplink0", "type", "veth", "peer", "name", "uplink1")
    try:
        for name in ("uplink0", "uplink1"):
            wires.relay.ip("link", "set", name, "up")
        wires.relay.ip("address", "add", "10.71.8.1/24", "dev", "uplink0")
        wires.relay.ip("route", "add", "default", "via", "10.71.8.2", "dev", "uplink0")
        relay = start_xdp(flags=wildcard_flags(wires))
        eventually(lambda: "uplink0 native" in status(relay)["xdp"]["attachments"])
    finally:
        wires.relay.ip("link", "delete", "uplink0")
    eventually(lambda: status(relay)["xdp"]["attachments"] == ["relay1 native"])
    time.sleep(1.5)  # three looks at the attachments
    assert status(relay)["plane"]["name"] == "xdp"


def test_neighbours_in_use_are_checked(wires, xdp_relay):
    """Nothing that leaves below the kernel's stack tells it that a neighbour is still there."""
    address = wires.CLIENTS[4][0]
    with client_of(wires) as client, echoing_peer(wires) as peer:
        client.allocate()
        client.bind_channel(CHANNEL, peer.address)
        echo_until_in_kernel(xdp_relay, client)
        wires.relay.ip("neigh", "change", address, "dev", "relay0", "nud", "stale")

        def state() -> str:
            with wires.relay:
                return subprocess.run(["ip", "neigh", "show", address, "dev", "relay0"], capture_output=True,
                                      text=True, check=True).stdout

        assert "STALE" in state()
        eventually(lambda: "STALE" not in state())


def test_without_a_descriptor_the_host_stays_as_it_was(wires, xdp_relay):
    """Interfaces are read anew, and cannot be: that is not a host without any."""
    with client_of(wires) as client, echoing_peer(wires) as peer:
        client.allocate()
        client.bind_channel(CHANNEL, peer.address)
        echo_until_in_kernel(xdp_relay, client)
        limits = resource.prlimit(xdp_relay.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(xdp_relay.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
        try:
            wires.relay.ip("address", "add", "10.71.1.77/24", "dev", "relay0")
            time.sleep(0.7)  # the notice, and a look at what the drivers can
        finally:
            resource.prlimit(xdp_relay.pid, resource.RLIMIT_NOFILE, limits)
            wires.relay.ip("address", "delete", "10.71.1.77/24", "dev", "relay0")
        before = frames(xdp_relay, "forward")
        for number in range(10):
            echo(client, b"still by the kernel %d" % number)
        assert frames(xdp_relay, "forward") == before + 20


@contextmanager
def forwarding(wires, family: int):
    """`bpf_fib_lookup` answers for interfaces that forward."""
    with wires.relay:
        files = [pathlib.Path(f"/proc/sys/net/ipv{family}/conf/{name}/forwarding") for name in ("relay0", "relay1")]
        for file in files:
            file.write_text("1")
    try:
        yield
    finally:
        with wires.relay:
            for file in files:
                file.write_text("0")


@pytest.mark.parametrize("family", [4, 6])
def test_the_program_looks_next_hops_up_itself(wires, xdp_relay, family):
    with client_of(wires, family) as client, echoing_peer(wires, family) as peer, \
            KernelObjects(xdp_relay.pid) as objects:
        client.allocate(family)
        client.bind_channel(CHANNEL, peer.address)
        echo_until_in_kernel(xdp_relay, client)
        objects.entries().forget_next_hops()
        before = frames(xdp_relay, "forward"), frames(xdp_relay, "pass", "no_next_hop")
        echo(client, b"the interfaces do not forward")
        after = frames(xdp_relay, "forward"), frames(xdp_relay, "pass", "no_next_hop")
        assert after == (before[0], before[1] + 2)
        with forwarding(wires, family):
            for number in range(10):
                echo(client, b"by bpf_fib_lookup %d" % number)
            assert frames(xdp_relay, "forward") == before[0] + 20


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("server_port", [53, 123])
def test_the_hosts_own_questions_are_answered(wires, xdp_relay, server_port, family):
    """As of resolver and clock, from ports among the relayed ones, to a server that is a client's peer besides."""
    server = udp_socket((wires.PEERS[family], server_port), wires.peers)
    with server, client_of(wires) as client:
        client.allocate(family)
        client.bind_channel(CHANNEL, server.getsockname()[:2])
        for port in (50_111, 60_123, 65_535, 49_152):
            with udp_socket((wires.RELAYS[family], port), wires.relay) as asker:
                for question in (b"\x12\x34\x01\0\0\x01", b"\x40\0\0\x04ask", bytes(48)):
                    asker.sendto(question, server.getsockname())
                    data, sender = server.recvfrom(2048)
                    server.sendto(data + b"!", sender)
                    assert asker.recv(2048) == question + b"!"
        client.send_channel(CHANNEL, b"and the client's as well")
        data, sender = server.recvfrom(2048)
        assert (data, sender[:2]) == (b"and the client's as well", client.relayed[0])


@pytest.fixture(scope="module")
def everybodys_binary():
    """The program where any user may run it."""
    folder = tempfile.mkdtemp(prefix="relayd-binary-")
    os.chmod(folder, 0o755)
    yield shutil.copy(BINARY, folder)
    shutil.rmtree(folder)


def capabilities_of(pid: int) -> dict[str, int]:
    """What any thread of a process may do: the threads' names and permitted capabilities."""
    held = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        status = (task / "status").read_text()
        held[f"{(task / 'comm').read_text().strip()} {task.name}"] = int(status.split("CapPrm:")[1].split()[0], 16)
    return held


def test_an_ordinary_user_with_the_named_capabilities(wires, start_xdp, everybodys_binary):
    relay = start_xdp(wrapper=as_nobody(*NEEDED, binary=everybodys_binary))
    with client_of(wires) as client, echoing_peer(wires) as peer:
        client.allocate()
        client.bind_channel(CHANNEL, peer.address)
        echo_until_in_kernel(relay, client)
    held = capabilities_of(relay.pid)
    assert len(held) > 3 and set(held.values()) == {NET_ADMIN}, held


def test_root_gives_up_what_only_loading_takes(wires, xdp_relay):
    with client_of(wires) as client, echoing_peer(wires) as peer:
        client.allocate()
        client.bind_channel(CHANNEL, peer.address)
        echo_until_in_kernel(xdp_relay, client)
    for thread, held in capabilities_of(xdp_relay.pid).items():
        assert held & NET_ADMIN and not held & LOADING, f"{thread}: {held:x}"


@pytest.mark.parametrize("missing", NEEDED)
def test_each_missing_capability_is_named(wires, everybodys_binary, missing):
    held = [name for name in NEEDED if name != missing]
    with wires.relay:
        run = subprocess.run([*as_nobody(*held, binary=everybodys_binary), *relay_flags(wires), "--data-plane", "xdp"],
                             capture_output=True, text=True, timeout=20, env={})
    name = f"CAP_{missing.upper()}"
    assert run.returncode == 69
    assert f"{name} is missing" in run.stderr and f"AmbientCapabilities={name})" in run.stderr, run.stderr
    for other in held:
        assert f"CAP_{other.upper()} is missing" not in run.stderr
