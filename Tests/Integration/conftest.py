"""What the tests share: relays that are stopped and judged, and a network whose frames are all checked."""

import os
import resource
import subprocess

import pytest

from capture import Capture
from namespaces import Network
from relay import CREDENTIALS, Relay

NO_NAMESPACES = os.environ.get("RELAYD_TEST_NO_NAMESPACES")


def pytest_configure() -> None:
    # Two thousand clients are two thousand sockets here.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if NO_NAMESPACES is None:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


@pytest.fixture
def start_relay():
    """Starts relays with the given flags; after the test each must stop well and have logged no error."""
    started: list[Relay] = []

    def start(*flags: str, **more) -> Relay:
        started.append(Relay(*flags, **more))
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
def network(tmp_path_factory):
    """Three namespaces and the wires between them. Every frame of a module's tests is captured and checked."""
    if NO_NAMESPACES is not None:
        pytest.skip(f"no network namespaces here: {NO_NAMESPACES}")
    made = Network()
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


def relay_flags(network: Network) -> list[str]:
    """The flags of a relay between clients and peers."""
    flags = list(CREDENTIALS)
    for family in (4, 6):
        host = network.RELAY_LISTENERS[family]
        flags += ["--listen", f"[{host}]:3478" if family == 6 else f"{host}:3478"]
        flags += ["--relay-address", network.RELAYS[family]]
    return flags + ["--allow-peer", "10.71.2.0/24", "--allow-peer", "fd71:2::/64"]
