"""What the optional features of the io_uring plane change, beside the same plane without them; and what it loses without
those that are on by default.

Loads are fixed: whoever is compared does the same work, and a latency is of the same rate.
"""

from dataclasses import asdict, dataclass

from . import topology
from .bench import Bench, Measured
from .cells import Cell
from .search import OVERLOAD, flood

BASE = "relayd-io-uring"
FEATURES = ("sqpoll", "napi", "zero-copy", "no-gso", "no-raw")
SERVERS = (BASE, *(f"{BASE}-{feature}" for feature in FEATURES))
ROUNDS = 3


@dataclass(frozen=True)
class Load:
    cell: Cell
    rate: float         # datagrams a second, about half of what one core of a small machine takes


LOADS = tuple(Load(Cell.parse(name), rate) for name, rate in (
    ("up/172/1/64", 60_000), ("down/172/1/1000", 60_000), ("up/1200/8/64/whole", 200_000)))


@dataclass(frozen=True)
class Compared:
    rate: float         # delivered of half as much again as a flood left of it
    full_cpu_ns: float  # a datagram, meanwhile: the server's threads, wherever they ran, and its receive path
    cpu_ns: float       # the same at the rate of the load
    loss: float         # there
    p99_us: float       # there, one way; 0 on the link "whole", where it is not measured

    def as_json(self) -> dict:
        return asdict(self)


def compare(server_of, load: Load, seconds: float) -> Compared:
    cell, is_whole = load.cell, load.cell.link == "whole"
    with topology.Topology(cell.link) as net, Bench(net, server_of(net.relay_address)) as bench:
        bench.prepare(cell)
        bench.drive(cell, load.rate, 0.2)
        flooded = flood(bench, cell, 0.3)
        over = bench.drive(cell, flooded.trial.delivered_rate * OVERLOAD, seconds)
        below = bench.drive(cell, load.rate, seconds)
        late = 0.0
        if not is_whole:
            bench.make_urgent()
            late = bench.drive(cell, load.rate, seconds, stamps=True).trial.latency_us["p99"]
    return Compared(over.trial.delivered_rate, _cpu_ns(over), _cpu_ns(below), below.trial.loss, late)


def _cpu_ns(measured: Measured) -> float:
    """A polling thread runs on whichever CPU it likes, so the server's CPU alone says too little."""
    return measured.task_ns_per_datagram + measured.receive_ns_per_datagram
