"""The generator as an object: one command in, one answer out."""

import json
import selectors
import subprocess
from dataclasses import dataclass, field

from . import servers, topology
from .cells import Cell
from .programs import OUT, pinned

WINDOW = 64


@dataclass(frozen=True)
class Trial:
    """What one run of traffic came to."""

    seconds: float
    offered: int
    sent: int
    received: int           # in the end, some seconds later perhaps: what CPU is divided by
    received_in_time: int   # when sending ended
    received_with_grace: int    # 20 ms later: what counts as relayed
    corrupted: int
    misdelivered: int
    reordered: int
    stale: int
    unexpected: int
    sink_dropped: int
    compared: int = 0       # to the last byte; the heads of all are checked
    latency_us: dict = field(default_factory=dict)

    @property
    def offered_rate(self) -> float:
        return self.offered / self.seconds

    @property
    def delivered_rate(self) -> float:
        return self.received_in_time / self.seconds

    @property
    def loss(self) -> float:
        """What did not arrive in time: buffers that fill hold no rate. The generator's own losses are not the server's."""
        expected = self.sent - self.sink_dropped
        return max(0.0, 1 - self.received_with_grace / expected) if expected > 0 else 1.0


class Generator:
    """Runs in the load namespace on its own CPU; ended with the `with` block."""

    def __init__(self, net: topology.Topology):
        command = [
            "ip", "netns", "exec", net.load, *pinned(topology.LOAD_CPU), str(OUT / "generator"),
            "--interface", "load0", "--gateway", net.mac(net.relay, "relay0"), "--server",
            f"{topology.SERVER_ADDRESS}:{servers.PORT}", "--user", servers.USER, "--password", servers.PASSWORD,
            "--clients", topology.FIRST_CLIENT, "--peers", topology.FIRST_PEER,
        ]
        if net.link == "frames":
            command += ["--frames", str(OUT / "frames.bpf.o"), "--spare-interface", "spare0"]
        if net.nics == 2:
            command += ["--peer-interface", "load1", "--peer-gateway", net.mac(net.relay, "relay1")]
        self.link = net.link
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)

    def __enter__(self) -> "Generator":
        return self

    def __exit__(self, *_) -> None:
        try:
            self.process.stdin.close()
        except OSError:
            # It has ended with a command unread.
            pass
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def ask(self, command: str, timeout: float) -> dict:
        if self.process.poll() is None:
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

    def prepare(self, server: servers.Server, cell: Cell) -> None:
        """The sessions that a cell needs, of the kind that the server has."""
        if server.echoes:
            self.ask(f"assume {cell.sessions}", 10)
        elif cell.direction == "pairs":
            self.ask(f"pair {cell.sessions} {WINDOW}", 30 + cell.sessions / 200)
        else:
            self.allocate(cell.sessions)

    def refresh(self) -> None:
        """Renews channels and permissions when they get old, so that no run has to."""
        self.ask("refresh", 60)

    def release(self, window: int = WINDOW) -> dict:
        return self.ask(f"release {window}", 60)

    def run(self, cell: Cell, rate: float, seconds: float, stamps: bool = False, echoes: bool = False) -> Trial:
        """rate: datagrams a second; 0, with frames: as many as the generator can."""
        if self.link == "frames":
            direction = "echo" if echoes else cell.direction
            command = (f"frames {direction} {cell.sessions} {cell.payload} {cell.burst} {rate:.0f} {seconds}"
                       f" {int(stamps)}")
        else:
            command = (f"run {cell.direction} {cell.sessions} {cell.payload} {cell.spread} {cell.burst} {rate:.0f} "
                       f"{seconds}")
        return Trial(**self.ask(command, seconds + 40))

    def calls(self, direction: str, calls: int, payload: int, burst: int, period_us: int, seconds: float) -> Trial:
        """Each session sends `burst` datagrams a period and direction, at a moment of its own."""
        return Trial(**self.ask(f"calls {direction} {calls} {payload} {burst} {period_us} {seconds}", seconds + 40))
