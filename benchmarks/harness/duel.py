"""Two servers in turn, window by window, both of them up all the time.

What drifts on a shared machine drifts for both, and the pauses of its host, a few a second, fall into some of many short
windows: the median of their ratios tells a few per cent.
"""

from contextlib import ExitStack
from dataclasses import asdict, dataclass, field

from . import topology
from .bench import Bench
from .cells import Cell
from .search import OVERLOAD, flood

# Of one window. Overloaded long enough that its onset is a small part; at half load so short that most windows meet no
# pause.
OVER_SECONDS, HALF_SECONDS = 0.35, 0.06
# Windows at half load to one overloaded.
HALF_WINDOWS = 3


@dataclass
class Side:
    """One server's windows: the n-th of one side and the n-th of the other are neighbours in time."""

    rate: list[float] = field(default_factory=list)         # delivered a second, overloaded
    lost: list[float] = field(default_factory=list)         # meanwhile, of what was offered: little is no overload
    over_cpu_ns: list[float] = field(default_factory=list)  # a datagram, meanwhile: threads and receive path
    cpu_ns: list[float] = field(default_factory=list)       # a datagram, at half load; none on the link "whole"
    p50_us: list[float] = field(default_factory=list)       # one way, at half load; none on the link "whole"
    p99_us: list[float] = field(default_factory=list)


def windows(first: str, second: str) -> int:
    """How many overloaded windows a server has: builds of relayd differ by a few per cent, others by half."""
    return 12 if first.startswith("relayd") and second.startswith("relayd") else 6


def seconds(cell: Cell, windows: int) -> float:
    """About what one duel takes: what is waited for after a window, and what is drained then, included."""
    start, drained = (5, 0.2) if cell.sessions >= 1000 else (4, 0.1)
    return start + 2 * windows * (OVER_SECONDS + drained + HALF_WINDOWS * (HALF_SECONDS + 0.09))


def duel(subject_of, other_of, cell: Cell, windows: int, segmentation: str = "whole") -> dict:
    """The windows of both; `load`: datagrams a second at half load, of what the weaker of them delivers of a flood."""
    with ExitStack() as stack:
        benches = [_bench(stack, server_of, cell, suffix, segmentation)
                   for suffix, server_of in (("-subject", subject_of), ("-other", other_of))]
        capacities = [_capacity(bench, cell) for bench in benches]
        sides = [Side(), Side()]
        for n in _turns(windows):
            over = benches[n].drive(cell, capacities[n] * OVERLOAD, OVER_SECONDS)
            sides[n].rate.append(over.trial.delivered_rate)
            sides[n].lost.append(1 - over.trial.received_in_time / over.trial.offered)
            sides[n].over_cpu_ns.append(over.cpu_ns_per_datagram)
        for bench in benches:
            bench.make_urgent()
        # Of the link "whole" the CPU is known to the tick only, and the latency not at all.
        for n in _turns(HALF_WINDOWS * windows if cell.link == "frames" else 0):
            half = benches[n].drive(cell, min(capacities) / 2, HALF_SECONDS, stamps=True)
            sides[n].cpu_ns.append(half.cpu_ns_per_datagram)
            sides[n].p50_us.append(half.trial.latency_us["p50"])
            sides[n].p99_us.append(half.trial.latency_us["p99"])
        return {"load": min(capacities) / 2, "subject": asdict(sides[0]), "other": asdict(sides[1])}


def _bench(stack: ExitStack, server_of, cell: Cell, suffix: str, segmentation: str) -> Bench:
    net = stack.enter_context(topology.Topology(cell.link, cell.nics, segmentation, suffix=suffix))
    bench = stack.enter_context(Bench(net, server_of(net.relay_address)))
    bench.prepare(cell)
    return bench


def _capacity(bench: Bench, cell: Cell) -> float:
    """What is left of a flood, in datagrams a second."""
    bench.drive(cell, 20_000, OVER_SECONDS)
    return flood(bench, cell, 3 * OVER_SECONDS).trial.delivered_rate


def _turns(windows: int) -> list[int]:
    """Sides in the order of their windows: nobody is always first."""
    return [side for window in range(windows) for side in ((0, 1), (1, 0))[window % 2]]
