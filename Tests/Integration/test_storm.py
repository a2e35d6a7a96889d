"""200,000 malformed datagrams: the relay lives, an existing channel relays on, memory stays where it was."""

import os
import pathlib
import random
import subprocess
import sys

import pytest

from peer import EchoPeer
from relay import CREDENTIALS, LOOPBACK
from stun import REQUEST, SUCCESS, Message, Method
from turn_client import TurnClient

pytestmark = pytest.mark.every_plane

CHANNEL = 0x4000
DATAGRAMS = 200_000
GROWTH_KIB = 2048
# Below this share the storm would be a test of the kernel's receive buffer.
ARRIVING_SHARE = 0.9
SERVER = ("127.0.0.1", 3478)


def receive_buffer_drops() -> int:
    """Datagrams that this namespace dropped because a socket's buffer was full, both families."""
    words = [line.split() for line in pathlib.Path("/proc/net/snmp").read_text().splitlines() if line.startswith("Udp:")]
    drops = int(dict(zip(*words))["RcvbufErrors"])
    for line in pathlib.Path("/proc/net/snmp6").read_text().splitlines():
        name, value = line.split()
        drops += int(value) if name == "Udp6RcvbufErrors" else 0
    return drops


def exchange(client: TurnClient, rounds: int) -> None:
    """Sends payloads there and back. One that a full socket buffer swallowed is sent again, a few times at most."""
    for _ in range(rounds):
        sent = []
        while not sent or not came_back(client, sent):
            assert len(sent) < 5, "nothing is relayed any more"
            sent.append(os.urandom(172))
            client.send_channel(CHANNEL, sent[-1])


def came_back(client: TurnClient, sent: list[bytes]) -> bool:
    """Whether the payload sent last comes back; earlier ones of this round may come late, nothing else may."""
    try:
        while True:
            channel, payload = client.receive_channel()
            assert channel == CHANNEL and payload in sent
            if payload == sent[-1]:
                return True
    except TimeoutError:
        return False


def storm(count: int, seed: int) -> subprocess.Popen:
    program = pathlib.Path(__file__).with_name("malformed.py")
    return subprocess.Popen([sys.executable, "-B", str(program), str(count), str(seed)])


def test_malformed_datagrams_harm_nobody(start_relay):
    seed = int(os.environ.get("RELAYD_TEST_SEED") or random.randrange(1 << 32))
    print(f"RELAYD_TEST_SEED={seed}")
    relay = start_relay(*CREDENTIALS, *LOOPBACK)
    with TurnClient(SERVER) as client, EchoPeer("127.0.0.1") as peer:
        client.allocate()
        client.bind_channel(CHANNEL, peer.address)
        exchange(client, rounds=1000)
        # A tenth of the storm lets every buffer and table reach its size.
        assert storm(DATAGRAMS // 10, seed + 1).wait(timeout=120) == 0
        before, drops_before = relay.resident_kib(), receive_buffer_drops()

        process = storm(DATAGRAMS, seed)
        rounds = 0
        while process.poll() is None:
            exchange(client, rounds=10)
            rounds += 10
        assert process.returncode == 0

        assert rounds >= 100
        dropped = receive_buffer_drops() - drops_before
        print(f"{DATAGRAMS} datagrams, {dropped} dropped by the kernel, {rounds} payloads relayed there and back meanwhile")
        assert dropped < DATAGRAMS * (1 - ARRIVING_SHARE)
        exchange(client, rounds=100)
        with TurnClient(SERVER, bind="127.0.0.77") as stranger:
            assert stranger.exchange(Message(REQUEST, Method.BINDING).encode()).message_class == SUCCESS
            stranger.allocate()
        growth = relay.resident_kib() - before
        print(f"resident memory: {before} KiB before, {growth:+d} KiB after")
        assert growth <= GROWTH_KIB
