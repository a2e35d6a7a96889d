"""Limits on relayed traffic, as clients and peers see them, on each plane that runs in userspace."""

import json
import re
import socket
import threading
import time

import pytest

from admin import request
from relay import CREDENTIALS, LOOPBACK, PASSWORD, USER
from stun import channel_data
from test_operation import await_log
from turn_client import TurnClient, udp_socket
from waiting import eventually, wait_for_log

pytestmark = pytest.mark.every_plane

SERVER = ("127.0.0.1", 3478)
CHANNEL = 0x4000
HTTP = ["--http", "127.0.0.1:9090"]
FLAGS = [*CREDENTIALS, *LOOPBACK, *HTTP]
PAYLOAD = b"x" * 1000
# 1 Mbit/s, and the burst that every limit lets pass.
BYTES_A_SECOND = 125_000
BURST_BYTES = 65_536


class Sink:
    """Counts the payload bytes that a socket gets, on a thread of its own."""

    def __init__(self, source: socket.socket, header_bytes: int = 0) -> None:
        self._source, self._header_bytes = source, header_bytes
        self.bytes = self.datagrams = 0
        self.last_arrival = time.monotonic()
        self._stopping = False
        source.settimeout(0.05)
        self._thread = threading.Thread(target=self._count, daemon=True)
        self._thread.start()

    def _count(self) -> None:
        while not self._stopping:
            try:
                datagram = self._source.recv(65536)
            except TimeoutError:
                continue
            self.last_arrival = time.monotonic()
            self.bytes += len(datagram) - self._header_bytes
            self.datagrams += 1

    @staticmethod
    def await_silence(*sinks: "Sink") -> None:
        """Waits for what is on its way: until nothing more has come for a while."""
        begin = time.monotonic()
        eventually(lambda: time.monotonic() > max(begin, *(sink.last_arrival for sink in sinks)) + 0.3)

    @staticmethod
    def stop(*sinks: "Sink") -> None:
        """One wait for all of them."""
        Sink.await_silence(*sinks)
        for sink in sinks:
            sink._stopping = True
        for sink in sinks:
            sink._thread.join(timeout=5)


class Line:
    """A client with a channel to a peer, and what arrives at both ends."""

    def __init__(self) -> None:
        self.client = TurnClient(SERVER)
        self.peer = udp_socket(("127.0.0.1", 0))
        self.client.allocate()
        self.client.bind_channel(CHANNEL, self.peer.getsockname())
        self.relayed = self.client.relayed[0]

    def listen(self) -> None:
        """From here on requests would lose their answers to the sink."""
        self.at_peer = Sink(self.peer)
        self.at_client = Sink(self.client.socket, header_bytes=4)

    def say(self, payload: bytes = PAYLOAD) -> None:
        self.client.socket.sendto(channel_data(CHANNEL, payload), SERVER)

    def answer(self, payload: bytes = PAYLOAD) -> None:
        self.peer.sendto(payload, self.relayed)

    @staticmethod
    def stop(*lines: "Line") -> None:
        Sink.stop(*(sink for line in lines for sink in (line.at_peer, line.at_client)))

    def close(self) -> None:
        self.client.close()
        self.peer.close()


@pytest.fixture
def lines():
    made: list[Line] = []

    def make() -> Line:
        made.append(Line())
        return made[-1]

    yield make
    for line in made:
        line.close()


def judge(begin: float, end: float, *sinks: Sink) -> None:
    """A limit and its burst: not a datagram more, and not much less than what sending from `begin` to `end` earned."""
    count = sum(sink.bytes for sink in sinks)
    seconds = end - begin
    # What the relay still had waiting when sending ended was judged later.
    longest = max(end, *(sink.last_arrival for sink in sinks)) - begin + 0.05
    most = BURST_BYTES + BYTES_A_SECOND * longest + len(PAYLOAD)
    assert 0.95 * (BURST_BYTES + BYTES_A_SECOND * seconds) <= count <= most, (count, seconds, longest)


def session_of(line: Line) -> dict:
    host, port = line.client.address
    rows = json.loads(request("GET", f"/sessions?client={host}:{port}")[1])["sessions"]
    return json.loads(request("GET", f"/sessions/{rows[0]['id']}")[1])["session"]


def metric(name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", request("GET", "/metrics")[1], re.MULTILINE)
    assert found, f"{name} is not on the page"
    return float(found.group(1))


def test_each_direction_gets_its_rate_and_a_burst_and_nobody_else_suffers(start_relay, lines):
    start_relay(*FLAGS, "--allocation-rate", "1Mbit")
    greedy, modest = lines(), lines()
    for line in (greedy, modest):
        line.listen()
    begin = time.monotonic()
    sent = 0
    # Eight times the limit, each way, for two seconds.
    while (now := time.monotonic()) < begin + 2:
        while begin + sent * 0.001 <= now:
            greedy.say()
            greedy.answer()
            if sent % 20 == 0:
                modest.say(b"y" * 160)
            sent += 1
        time.sleep(0.001)
    end = time.monotonic()
    # Limited is who was limited in the last two seconds: it is asked before any wait.
    assert session_of(greedy)["limited"] and not session_of(modest)["limited"]
    Line.stop(greedy, modest)
    judge(begin, end, greedy.at_peer)
    judge(begin, end, greedy.at_client)
    assert modest.at_peer.datagrams == (sent + 19) // 20
    dropped = 2 * sent - greedy.at_peer.datagrams - greedy.at_client.datagrams
    assert session_of(greedy)["over_limit_packets"] == dropped
    eventually(lambda: metric('relayd_dropped_datagrams_total{reason="over_limit"}') == dropped)


def test_all_allocations_of_a_user_share_the_users_rate(start_relay, lines):
    start_relay(*FLAGS, "--user-rate", "1Mbit", "--workers", "2")
    several = [lines() for _ in range(4)]
    for line in several:
        line.listen()
    begin = time.monotonic()
    sent = 0
    while (now := time.monotonic()) < begin + 1.5:
        while begin + sent * 0.0005 <= now:
            several[sent % 4].say()
            sent += 1
        time.sleep(0.001)
    end = time.monotonic()
    Line.stop(*several)
    judge(begin, end, *(line.at_peer for line in several))


def test_indications_are_limited_too(start_relay, lines):
    start_relay(*FLAGS, "--allocation-packet-rate", "100")
    line = lines()
    line.listen()
    peer = line.peer.getsockname()
    begin = time.monotonic()
    for _ in range(300):
        line.client.send_indication(peer, b"z")
    Line.stop(line)
    # A burst of 64, and what a hundred a second come to meanwhile.
    most = 65 + 100 * (line.at_peer.last_arrival - begin + 0.05)
    assert 64 <= line.at_peer.datagrams <= most, most


def test_a_reload_changes_the_rate_of_a_living_allocation(start_relay, lines, tmp_path):
    file = tmp_path / "relayd.yaml"

    def write(rate: str) -> None:
        fresh = tmp_path / "fresh"
        fresh.write_text(f'realm: relayd.test\nuser: ["{USER}:{PASSWORD}"]\nallocation-rate: {rate}\n')
        fresh.replace(file)

    write("80kbit")
    relay = start_relay("--config", str(file), *LOOPBACK, *HTTP)
    line = lines()
    line.listen()

    def burst(count: int) -> int:
        before = line.at_peer.datagrams
        for _ in range(count):
            line.say()
            time.sleep(0.0002)
        Sink.await_silence(line.at_peer)
        return line.at_peer.datagrams - before

    # 65 and what ten a second come to.
    assert 65 <= burst(200) <= 80
    write("0")
    await_log(relay, r"notice option changed from=80kbit key=allocation-rate to=0\n")
    time.sleep(0.1)
    assert burst(200) == 200
    write("80kbit")
    await_log(relay, r"notice option changed from=0 key=allocation-rate to=80kbit\n")
    time.sleep(0.1)
    # What passed without a limit was not counted.
    assert burst(200) <= 80
    Line.stop(line)


def test_new_peers_come_no_faster_than_their_rate(start_relay):
    relay = start_relay(*FLAGS, "--new-peer-rate", "3/h")
    with TurnClient(SERVER) as client:
        client.allocate()
        for number in range(1, 4):
            client.permit((f"127.0.0.{number}", 1))
        assert client.request(client.permission(("127.0.0.4", 1))).error == 508
        assert client.request(client.binding(CHANNEL, ("127.0.0.4", 1))).error == 508
        client.bind_channel(CHANNEL, ("127.0.0.3", 1))
    eventually(lambda: metric('relayd_quota_refusals_total{quota="new_peer_rate"}') == 2)
    wait_for_log(relay, "quota=new-peer-rate")
    assert f"user={USER}" in relay.log()
