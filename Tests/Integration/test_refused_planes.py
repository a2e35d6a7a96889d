"""Hosts that lack what a plane needs: each refusal has its reason and its mend, and the next plane takes over."""

import os
import pathlib
import platform
import resource
import subprocess
from contextlib import contextmanager

import pytest

from admin import change_plane, request, status
from conftest import relay_flags
from peer import EchoPeer
from privileges import (
    CAP_BPF,
    CAP_NET_ADMIN,
    CAP_PERFMON,
    CAP_SYS_ADMIN,
    SYSTEM_CALLS,
    as_nobody,
    refusing,
    without_capabilities,
)
from relay import CREDENTIALS, LOOPBACK, Relay, run_relayd
from turn_client import TurnClient
from xdp import PORT

CHANNEL = 0x4000
# Over loopback, where XDP never runs.
LOCAL = [*CREDENTIALS, *LOOPBACK]
IO_URING_DISABLED = pathlib.Path("/proc/sys/kernel/io_uring_disabled")

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="taking rights away needs root, who has them")


def xdp_flags(wires) -> list[str]:
    return [*relay_flags(wires), "--data-plane", "xdp"]


def refusal(*flags: str, **more) -> str:
    """What relayd says when it does not start."""
    run = run_relayd(*flags, **more)
    assert run.returncode == 69, run
    return run.stderr


def expect_relaying(relay: Relay, plane: str, peer_host: str, peers=None, clients=None) -> None:
    assert status(relay)["plane"]["name"] == plane
    with TurnClient(relay.address, namespace=clients, bind=None if clients is None else "10.71.1.2") as client:
        with EchoPeer(peer_host, peers) as peer:
            client.allocate()
            client.bind_channel(CHANNEL, peer.address)
            for number in range(20):
                client.send_channel(CHANNEL, b"%d" % number)
                assert client.receive_channel() == (CHANNEL, b"%d" % number)


# What takes rights away, what the refusal says, and its mend.
XDP_RIGHTS = {
    "CAP_BPF": (without_capabilities(CAP_BPF, CAP_SYS_ADMIN), ["CAP_BPF"]),
    "CAP_NET_ADMIN": (without_capabilities(CAP_NET_ADMIN, CAP_SYS_ADMIN), ["CAP_NET_ADMIN"]),
    "CAP_PERFMON": (without_capabilities(CAP_PERFMON, CAP_SYS_ADMIN), ["CAP_PERFMON"]),
    "the bpf system call": (refusing("bpf"), ["bpf", "seccomp"]),
}


@pytest.mark.parametrize("missing", XDP_RIGHTS)
def test_xdp_names_the_right_that_it_lacks(wires, missing):
    take_away, words = XDP_RIGHTS[missing]
    with wires.relay:
        said = refusal(*xdp_flags(wires), preexec_fn=take_away)
    for word in words:
        assert word in said, said


@pytest.mark.parametrize("missing", XDP_RIGHTS)
def test_without_rights_for_xdp_a_fallback_runs(wires, start_relay, missing):
    take_away, words = XDP_RIGHTS[missing]
    relay = start_relay(*xdp_flags(wires), "--fallback", "--http", "127.0.0.1:9090", namespace=wires.relay,
                        ready_at=(wires.RELAY_LISTENERS[4], PORT), prepare=take_away)
    expect_relaying(relay, "io-uring", wires.PEERS[4], wires.peers, wires.clients)
    reasons = {each["name"]: each.get("reason", "") for each in status(relay)["candidates"]}
    assert all(word in reasons["xdp"] for word in words), reasons


BARE_ADDRESS = "10.71.9.1"
ON_BARE = [*CREDENTIALS, "--listen", f"{BARE_ADDRESS}:{PORT}", "--relay-address", BARE_ADDRESS, "--data-plane", "xdp"]
# What follows `ip link add bare0`.
MACVLAN = ["link", "relay0", "type", "macvlan", "mode", "bridge"]
VETH = ["type", "veth", "peer", "name", "bare1"]
FEW_QUEUES = ["numrxqueues", "1", "numtxqueues", "1", *VETH, "numrxqueues", "4", "numtxqueues", "4"]
JUMBO_VETH = ["mtu", "9000", *VETH, "mtu", "9000"]


@contextmanager
def bare_interface(network, *made_as: str):
    """An interface with an address of its own, in the relay's namespace."""
    network.relay.ip("link", "add", "bare0", *made_as)
    try:
        network.relay.ip("address", "add", BARE_ADDRESS + "/24", "dev", "bare0")
        network.relay.ip("link", "set", "bare0", "up")
        yield
    finally:
        network.relay.ip("link", "delete", "bare0")


def test_an_interface_without_native_xdp_is_refused(network):
    """macvlan has no native mode."""
    with bare_interface(network, *MACVLAN), network.relay:
        said = refusal(*ON_BARE)
    assert "bare0" in said and "--xdp-mode generic" in said, said


def test_a_veth_with_fewer_queues_than_its_other_end_is_refused(network):
    with bare_interface(network, *FEW_QUEUES), network.relay:
        said = refusal(*ON_BARE)
    for words in ("bare0", "queues", "ethtool -L bare0 rx", "ethtool -L IF tx", "numrxqueues"):
        assert words in said, said


@pytest.mark.parametrize("made_as,asked_for,got", [
    (MACVLAN, "generic", "generic"),
    (MACVLAN, "auto", "generic"),
    (VETH, "auto", "native"),
    # The other end's frames would not fit into a page.
    (JUMBO_VETH, "auto", "generic"),
    (FEW_QUEUES, "auto", "generic"),
], ids=["macvlan", "macvlan-auto", "veth-auto", "jumbo-veth-auto", "few-queues-auto"])
def test_a_mode_that_the_interface_has_is_taken(network, start_relay, made_as, asked_for, got):
    with bare_interface(network, *made_as):
        relay = start_relay(*ON_BARE, "--xdp-mode", asked_for, "--http", "127.0.0.1:9090", namespace=network.relay,
                            ready_at=(BARE_ADDRESS, PORT))
        assert status(relay)["xdp"]["attachments"] == [f"bare0 {got}"]
        relay.stop()


def test_a_second_program_on_the_interface_is_refused(wires, start_relay):
    first = start_relay(*xdp_flags(wires), "--http", "127.0.0.1:9090", namespace=wires.relay,
                        ready_at=(wires.RELAY_LISTENERS[4], PORT))
    other = ["--listen", f"{wires.RELAY_LISTENERS[4]}:5000", *CREDENTIALS, "--relay-address", wires.RELAYS[4],
             "--data-plane", "xdp", "--relay-ports", "40000-40999"]
    with wires.relay:
        said = refusal(*other)
    assert "Another XDP program is there already" in said and "ip link set" in said, said
    second = start_relay(*other, "--fallback", "--http", "127.0.0.1:9091", namespace=wires.relay,
                         ready_at=(wires.RELAY_LISTENERS[4], 5000))
    code, text = request("POST", "/plane", {"plane": "xdp"}, at="127.0.0.1:9091", namespace=wires.relay)
    assert code == 409 and "Nothing was changed" in text, text
    first.stop()
    code, text = request("POST", "/plane", {"plane": "xdp"}, at="127.0.0.1:9091", namespace=wires.relay)
    assert code == 200, text
    second.stop()


@pytest.fixture
def io_uring_disabled():
    if not IO_URING_DISABLED.exists():
        pytest.skip("this kernel has no kernel.io_uring_disabled")
    before = IO_URING_DISABLED.read_text()
    IO_URING_DISABLED.write_text("2")
    try:
        yield
    finally:
        IO_URING_DISABLED.write_text(before)


def test_io_uring_switched_off(io_uring_disabled, start_relay):
    said = refusal(*LOCAL, "--data-plane", "io-uring")
    assert "kernel.io_uring_disabled=2" in said and "Set it to 0" in said, said
    relay = start_relay(*LOCAL, "--http", "127.0.0.1:9090")
    expect_relaying(relay, "socket", "127.0.0.1")
    code, text = request("POST", "/plane", {"plane": "io-uring"})
    assert code == 409 and "kernel.io_uring_disabled" in text, text
    expect_relaying(relay, "socket", "127.0.0.1")


@pytest.mark.skipif(platform.machine() not in SYSTEM_CALLS, reason="the filter is written for x86-64 and ARM64")
def test_a_container_that_refuses_both_system_calls(start_relay):
    refuse = refusing("bpf", "io_uring_setup")
    said = refusal(*LOCAL, "--data-plane", "io-uring", preexec_fn=refuse)
    assert "seccomp" in said, said
    relay = start_relay(*LOCAL, "--http", "127.0.0.1:9090", prepare=refuse)
    expect_relaying(relay, "socket", "127.0.0.1")


def test_an_ordinary_user_without_lockable_memory(start_relay):
    def prepare() -> None:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))

    said = refusal(*LOCAL, "--data-plane", "io-uring", preexec_fn=prepare, wrapper=as_nobody())
    assert "memlock" in said.lower(), said
    relay = start_relay(*LOCAL, "--http", "127.0.0.1:9090", prepare=prepare, wrapper=as_nobody())
    expect_relaying(relay, "socket", "127.0.0.1")


def test_a_change_to_a_plane_that_is_refused_changes_nothing(start_relay):
    relay = start_relay(*LOCAL, "--http", "127.0.0.1:9090", "--data-plane", "socket")
    with TurnClient(relay.address) as client, EchoPeer("127.0.0.1") as peer:
        client.allocate()
        client.bind_channel(CHANNEL, peer.address)
        code, text = request("POST", "/plane", {"plane": "xdp"})
        assert code == 409 and "Nothing was changed" in text and "Ethernet" in text, text
        client.send_channel(CHANNEL, b"still here")
        assert client.receive_channel() == (CHANNEL, b"still here")
        assert change_plane(relay, "io-uring")["cause"] == "swap"
        client.send_channel(CHANNEL, b"and here")
        assert client.receive_channel() == (CHANNEL, b"and here")


def test_a_build_without_clang_says_what_to_install(tmp_path):
    script = pathlib.Path(__file__).parents[2] / "bpf" / "compile"
    run = subprocess.run(["/bin/sh", str(script), str(tmp_path / "out.swift"), str(tmp_path)], text=True,
                         capture_output=True, env={"PATH": "/usr/bin:/bin", "RELAYD_BPF_CLANG": "/nonexistent/clang"})
    assert run.returncode != 0 and "apt-get install clang" in run.stderr, run
