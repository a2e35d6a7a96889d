"""The generator as an object: one command in, one answer out."""

import json
import selectors
import subprocess
from dataclasses import dataclass

from . import servers, topology
from .programs import OUT, pinned

GENERATOR_CPU = 0
WINDOW = 64


@dataclass(frozen=True)
class Cell:
    """One shape of traffic."""

    name: str
    direction: str          # up: client to peer; down: peer to client; both
    payload: int            # bytes
    burst: int              # datagrams to one flow at a time
    sessions: int
    spread: int = 1         # sizes: payload, payload + 1 and so on; more than one keeps GSO from joining datagrams


@dataclass(frozen=True)
class Trial:
    """What one run of traffic came to."""

    seconds: float
    offered: int
    sent: int
    received: int
    received_in_time: int
    corrupted: int
    misdelivered: int
    reordered: int
    stale: int
    unexpected: int
    sink_dropped: int

    @property
    def offered_rate(self) -> float:
        return self.offered / self.seconds

    @property
    def delivered_rate(self) -> float:
        return self.received_in_time / self.seconds

    @property
    def loss(self) -> float:
        """The generator's own losses are not the server's."""
        expected = self.sent - self.sink_dropped
        return max(0.0, 1 - self.received / expected) if expected > 0 else 1.0


class Generator:
    """Runs in the load namespace on its own CPU; ended with the `with` block."""

    def __init__(self, net: topology.Topology):
        command = [
            "ip", "netns", "exec", net.load, *pinned(GENERATOR_CPU), str(OUT / "generator"),
            "--interface", "load0", "--gateway", net.server_mac, "--server",
            f"{topology.SERVER_ADDRESS}:{servers.PORT}", "--user", servers.USER, "--password", servers.PASSWORD,
            "--clients", topology.FIRST_CLIENT, "--peers", topology.FIRST_PEER,
        ]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)

    def __enter__(self) -> "Generator":
        return self

    def __exit__(self, *_) -> None:
        self.process.stdin.close()
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def ask(self, command: str, timeout: float) -> dict:
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(timeout):
                raise TimeoutError(f"generator: no answer to '{command}' in {timeout} s")
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"generator ended: {self.process.stderr.read().strip()}")
        return json.loads(line)

    def allocate(self, sessions: int, window: int = WINDOW) -> dict:
        return self.ask(f"allocate {sessions} {window}", 30 + sessions / 200)

    def release(self, window: int = WINDOW) -> dict:
        return self.ask(f"release {window}", 60)

    def run(self, cell: Cell, rate: float, seconds: float) -> Trial:
        command = (f"run {cell.direction} {cell.sessions} {cell.payload} {cell.spread} {cell.burst} {rate:.0f} "
                   f"{seconds}")
        return Trial(**self.ask(command, seconds + 40))
