"""Two thousand allocations at once, used, released, and all of it again."""

import os
import time

import pytest

from peer import EchoPeer
from relay import CREDENTIALS, LOOPBACK, Relay
from turn_client import TurnClient

pytestmark = pytest.mark.every_plane

ALLOCATIONS = 2000
CHANNEL = 0x4000
GROWTH_KIB = 2048
SERVERS = [("127.0.0.1", 3478), ("::1", 3478)]


def use(clients: list[TurnClient], peer: EchoPeer) -> None:
    for client in clients:
        client.allocate(4)
        client.bind_channel(CHANNEL, peer.address)
    assert len({client.relayed[0] for client in clients}) == len(clients)
    for round in range(3):
        for number, client in enumerate(clients):
            client.send_channel(CHANNEL, b"%d of %d" % (round, number))
            assert client.receive_channel() == (CHANNEL, b"%d of %d" % (round, number))


def release(clients: list[TurnClient], relay: Relay, files: int) -> None:
    """Releases everything; then no more than `files` may be open."""
    for client in clients:
        client.refresh(0)
    # The last answer may be here before its socket is closed.
    deadline = time.monotonic() + 5
    while relay.open_files() > files and time.monotonic() < deadline:
        time.sleep(0.02)
    assert relay.open_files() <= files


def settled_files(relay: Relay) -> int:
    """The number of open files once it stays: the relay answers before the last parts of the program have started."""
    for _ in range(50):
        before = relay.open_files()
        time.sleep(0.2)
        if relay.open_files() == before:
            return before
    raise AssertionError("the number of open files never settles")


def test_two_thousand_allocations_come_and_go(start_relay):
    relay = start_relay(*CREDENTIALS, *LOOPBACK, "--allocations-per-user", "0", "--unauthenticated-rate", "0")
    idle_files, idle_kib = settled_files(relay), relay.resident_kib()
    clients = [TurnClient(SERVERS[number % 2]) for number in range(ALLOCATIONS)]
    with EchoPeer("127.0.0.1") as peer:
        use(clients, peer)
        assert relay.open_files() >= idle_files + ALLOCATIONS
        # A worker keeps the raw socket that its first relay socket of an address brought.
        release(clients, relay, idle_files + os.cpu_count())
        once_files, once_kib = relay.open_files(), relay.resident_kib()

        use(clients, peer)
        again_kib = relay.resident_kib()
        release(clients, relay, once_files)
        released_kib = relay.resident_kib()
    for client in clients:
        client.close()
    print(f"resident memory: {idle_kib} KiB idle, {once_kib} after {ALLOCATIONS} allocations came and went, "
          f"{again_kib} with them again, {released_kib} after they went again")
    # What the first round left behind serves the second.
    assert released_kib - once_kib <= GROWTH_KIB
