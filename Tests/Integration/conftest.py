"""What the tests share: relays that are stopped and judged, and a network whose frames are all checked."""

import functools
import os
import re
import resource
import subprocess

import pytest

from capture import Capture
from namespaces import Network
from relay import CREDENTIALS, Relay, run_relayd
from serving import NEW_HOST, NEW_RELAY, Served
from xdp import PORT, may_load_programs

NO_NAMESPACES = os.environ.get("RELAYD_TEST_NO_NAMESPACES")


def pytest_configure(config) -> None:
    config.addinivalue_line("markers", "every_plane: runs once on each data plane")
    # Two thousand clients are two thousand sockets here.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if NO_NAMESPACES is None:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


@functools.cache
def data_planes() -> list:
    """Every userspace plane of this build; those that this host refuses are skipped with doctor's reason.

    XDP needs interfaces of its own kind; `test_xdp.py` makes them.
    """
    planes = []
    for line in run_relayd("doctor", seconds=60).stdout.splitlines():
        if verdict := re.match(r"  (\S+): (yes|no): (.*)", line):
            name, answer, reason = verdict.groups()
            if name == "xdp":
                continue
            if answer == "yes":
                planes.append(name)
            else:
                planes.append(pytest.param(name, marks=pytest.mark.skip(reason=reason)))
    return planes


def pytest_generate_tests(metafunc) -> None:
    """Modules that are marked `every_plane` run once on each data plane."""
    if metafunc.definition.get_closest_marker("every_plane"):
        metafunc.parametrize("data_plane", data_planes())
    if "served_plane" in metafunc.fixturenames:
        metafunc.parametrize("served_plane", [*data_planes(), "xdp"])


@pytest.fixture
def data_plane() -> str | None:
    """The plane that relays of this test are started on; none but what their flags say."""
    return None


@pytest.fixture
def start_relay(data_plane):
    """Starts relays with the given flags; after the test each must stop well and have logged no error."""
    started: list[Relay] = []

    def start(*flags: str, **more) -> Relay:
        chosen = [] if data_plane is None else ["--data-plane", data_plane]
        started.append(Relay(*flags, *chosen, **more))
        return started[-1]

    yield start
    failures = []
    for relay in started:
        try:
            if relay.process.returncode is None:
                relay.stop()
        except AssertionError as failure:
            failures.append(str(failure))
    assert not failures, "\n".join(failures)


@pytest.fixture(scope="module")
def network(request, tmp_path_factory):
    """Three namespaces and the wires between them. Every frame of a module's tests is captured and checked."""
    if NO_NAMESPACES is not None:
        pytest.skip(f"no network namespaces here: {NO_NAMESPACES}")
    made = Network(captures_at_relay=not getattr(request.module, "GRO_AT_RELAY", False))
    capture = Capture(made, tmp_path_factory.mktemp("capture"))
    try:
        yield made
    finally:
        capture.stop()
        made.close()
    assert capture.check() > 0, "the capture saw nothing"


@pytest.fixture
def relay(network, start_relay) -> Relay:
    """A relay between clients and peers, both families, that lets the peers of the network be reached."""
    return start_relay(*relay_flags(network), namespace=network.relay, ready_at=(network.RELAY_LISTENERS[4], 3478))


def relay_flags(network: Network, families=(4, 6)) -> list[str]:
    """The flags of a relay between clients and peers."""
    flags = list(CREDENTIALS)
    for family in families:
        host = network.RELAY_LISTENERS[family]
        flags += ["--listen", f"[{host}]:3478" if family == 6 else f"{host}:3478"]
        flags += ["--relay-address", network.RELAYS[family]]
    return flags + ["--allow-peer", "10.71.2.0/24", "--allow-peer", "fd71:2::/64"]


@pytest.fixture(scope="module")
def wires(network):
    """The network, with far ends that take what an XDP program sends: a veth does so where GRO is on."""
    if os.geteuid() != 0 or not may_load_programs():
        pytest.skip("loading XDP programs needs root in the first user namespace")
    for namespace, interface in ((network.clients, "clients0"), (network.peers, "peers0")):
        with namespace:
            subprocess.run(["ethtool", "-K", interface, "gro", "on"], check=True, stdout=subprocess.DEVNULL)
    return network


@pytest.fixture
def start_xdp(wires, start_relay):
    """Starts relays on the XDP plane; `flags` stand for those of a relay between clients and peers."""

    def start(*more: str, flags: list[str] | None = None, ready_family=4, wrapper=()) -> Relay:
        chosen = relay_flags(wires) if flags is None else flags
        return start_relay(*chosen, "--data-plane", "xdp", "--http", "127.0.0.1:9090", *more, wrapper=wrapper,
                           namespace=wires.relay, ready_at=(wires.RELAY_LISTENERS[ready_family], PORT))

    return start


@pytest.fixture
def xdp_relay(start_xdp) -> Relay:
    return start_xdp()


# Relays whose addresses change


@pytest.fixture(scope="module")
def roomy(network):
    """The network, with addresses on the relay that it does not serve at first."""
    for address, interface in ((NEW_HOST, "relay0"), (NEW_RELAY, "relay1")):
        network.relay.ip("address", "add", address + "/24", "dev", interface)
    for interface in ("relay0", "relay1"):
        with network.relay:
            subprocess.run(["ethtool", "-K", interface, "gro", "on"], check=True, stdout=subprocess.DEVNULL)
    return network


@pytest.fixture
def served(request, roomy, start_relay, tmp_path, served_plane) -> Served:
    """On each data plane."""
    if served_plane == "xdp":
        request.getfixturevalue("wires")
    return Served(start_relay, roomy, served_plane, tmp_path / "relayd.yaml")


@pytest.fixture
def on_sockets(roomy, start_relay, tmp_path) -> Served:
    return Served(start_relay, roomy, "socket", tmp_path / "relayd.yaml")
