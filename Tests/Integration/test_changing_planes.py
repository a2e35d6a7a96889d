"""Planes that change under traffic: every payload names its flow and its number, so that nothing can pass for another."""

import dataclasses
import pathlib
import select
import struct
import subprocess
import threading
import time

import pytest

from admin import change_plane, status
from conftest import relay_flags
from kernel_objects import KernelObjects
from peer import EchoPeer
from relay import Relay
from turn_client import TurnClient
from waiting import eventually
from xdp import PORT, stop_after_a_failed_plane

# A veth with GRO keeps its receive queue when a program comes or goes; without it, what is in there is lost.
GRO_AT_RELAY = True
CHANNEL = 0x4000
FLOWS = 8
# Each flow sends so many a second, there and back.
PACKETS_A_SECOND = 250
LARGEST_LOSS = 0.001


@dataclasses.dataclass
class Flow:
    client: TurnClient
    number: int
    sent: int = 0
    came: set[int] = dataclasses.field(default_factory=set)


class Traffic:
    """Flows from clients to an echoing peer and back, sent by one thread and counted by another."""

    def __init__(self, relay: Relay, wires, peers: dict[int, EchoPeer]) -> None:
        self.flows: list[Flow] = []
        self.complaints: list[str] = []
        self._stopping = threading.Event()
        for number in range(FLOWS):
            family, peer_family = (4, 6)[number % 2], (4, 6)[number // 2 % 2]
            client = TurnClient((wires.RELAY_LISTENERS[family], PORT), bind=wires.CLIENTS[family][number],
                                namespace=wires.clients)
            client.allocate(peer_family)
            client.bind_channel(CHANNEL + number, peers[peer_family].address)
            client.socket.setblocking(False)
            self.flows.append(Flow(client, number))
        self._threads = [threading.Thread(target=body, daemon=True) for body in (self._send, self._receive)]

    def __enter__(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout=10)
        for flow in self.flows:
            flow.client.close()

    def _send(self) -> None:
        due = time.monotonic()
        while not self._stopping.is_set():
            for flow in self.flows:
                flow.client.send_channel(CHANNEL + flow.number, struct.pack("!II", flow.number, flow.sent) + b"." * 160)
                flow.sent += 1
            due += 1 / PACKETS_A_SECOND
            time.sleep(max(0, due - time.monotonic()))

    def _receive(self) -> None:
        by_socket = {flow.client.socket: flow for flow in self.flows}
        quiet_since = None
        while quiet_since is None or time.monotonic() < quiet_since + 1:
            ready, _, _ = select.select(list(by_socket), [], [], 0.1)
            for sock in ready:
                self._take(by_socket[sock], sock.recv(65536))
            if self._stopping.is_set() and (ready or quiet_since is None):
                quiet_since = time.monotonic()

    def _take(self, flow: Flow, datagram: bytes) -> None:
        channel, length, number, sequence = struct.unpack_from("!HHII", datagram)
        if (channel, length, number) != (CHANNEL + flow.number, 168, flow.number) or datagram[12:172] != b"." * 160:
            self.complaints.append(f"flow {flow.number} got {datagram[:16].hex()}")
        elif sequence in flow.came or sequence >= flow.sent + 1:
            self.complaints.append(f"flow {flow.number} got {sequence} again")
        else:
            flow.came.add(sequence)

    @property
    def lost(self) -> int:
        return sum(flow.sent - len(flow.came) for flow in self.flows)

    @property
    def sent(self) -> int:
        return sum(flow.sent for flow in self.flows)

    def where(self) -> str:
        """The numbers that are missing, for the message of a failure."""
        return "; ".join(f"flow {flow.number}: {sorted(set(range(flow.sent)) - flow.came)[:20]}"
                         for flow in self.flows if flow.sent != len(flow.came))


@pytest.fixture(scope="module")
def quiet_wires(wires):
    for interface in ("relay0", "relay1"):
        with wires.relay:
            subprocess.run(["ethtool", "-K", interface, "gro", "on"], check=True, stdout=subprocess.DEVNULL)
    return wires


@pytest.fixture
def start(quiet_wires, start_relay):
    def start(*flags: str) -> Relay:
        return start_relay(*relay_flags(quiet_wires), "--http", "127.0.0.1:9090", *flags,
                           namespace=quiet_wires.relay, ready_at=(quiet_wires.RELAY_LISTENERS[4], PORT))

    return start


def go_round(relay: Relay, wires, planes: list[str], seconds: float) -> Traffic:
    """Changes planes under traffic, one after the other, round and round."""
    with EchoPeer(wires.PEERS[4], wires.peers) as four, EchoPeer(wires.PEERS[6], wires.peers) as six:
        with Traffic(relay, wires, {4: four, 6: six}) as traffic:
            time.sleep(0.5)
            sockets = sockets_of(relay)
            until = time.monotonic() + seconds
            changes = 0
            while time.monotonic() < until:
                plane = planes[changes % len(planes)]
                now = change_plane(relay, plane)
                assert (now["name"], now["settled"], now["failures"]) == (plane, True, [])
                changes += 1
                time.sleep(0.2)
            assert sockets_of(relay) == sockets
    assert changes >= len(planes)
    print(f"{changes} changes, {traffic.sent} sent, {traffic.lost} lost")
    expect_health(relay, traffic, seconds)
    return traffic


def sockets_of(relay: Relay) -> set[str]:
    """The UDP sockets of the relay's namespace: local address and inode, which no other socket ever had."""
    lines = [line.split() for family in ("udp", "udp6")
             for line in pathlib.Path(f"/proc/{relay.pid}/net/{family}").read_text().splitlines()[1:]]
    return {f"{line[1]} {line[9]}" for line in lines}


def expect_health(relay: Relay, traffic: Traffic, seconds: float) -> None:
    assert traffic.sent > 0.5 * seconds * FLOWS * PACKETS_A_SECOND
    assert not traffic.complaints, traffic.complaints[:10]
    assert status(relay)["allocations"] == FLOWS


def test_all_planes_round_and_round(start, quiet_wires):
    relay = start("--data-plane", "socket")
    traffic = go_round(relay, quiet_wires, ["io-uring", "xdp", "io-uring", "socket", "xdp", "socket"], seconds=12)
    assert traffic.lost < LARGEST_LOSS * traffic.sent, traffic.where()


@pytest.mark.parametrize("below", ["socket", "io-uring"])
def test_xdp_on_and_off_loses_nothing(start, quiet_wires, below):
    relay = start("--data-plane", below)
    traffic = go_round(relay, quiet_wires, ["xdp", below], seconds=8)
    assert traffic.lost == 0, traffic.where()
    assert status(relay)["plane"]["slow_path"] == below


@pytest.mark.parametrize("below", ["socket", "io-uring"])
def test_a_program_that_is_detached_under_traffic_loses_next_to_nothing(start, quiet_wires, below):
    relay = start("--data-plane", "xdp", "--xdp-slow-path", below)
    with EchoPeer(quiet_wires.PEERS[4], quiet_wires.peers) as four, EchoPeer(quiet_wires.PEERS[6], quiet_wires.peers) as six:
        with Traffic(relay, quiet_wires, {4: four, 6: six}) as traffic, KernelObjects(relay.pid) as objects:
            time.sleep(1)
            objects.detach_a_link()
            eventually(lambda: status(relay)["plane"]["cause"] == "fallback" and status(relay)["plane"]["settled"])
            time.sleep(1)
    now = status(relay)["plane"]
    assert now["name"] == below and now["failures"][0]["plane"] == "xdp", now
    print(f"{traffic.sent} sent, {traffic.lost} lost by the fallback to {now['name']}")
    expect_health(relay, traffic, seconds=2)
    assert traffic.lost < LARGEST_LOSS * traffic.sent, traffic.where()
    stop_after_a_failed_plane(relay)
