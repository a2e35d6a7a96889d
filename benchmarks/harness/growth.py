"""How a server's own code and the kernel grow with the number of sessions: nanoseconds a datagram, apart.

The user share comes from `perf` sampling the CPU clock where it is there (about one sample a 250 us of run time),
else from the tick's utime and stime.
"""

from collections import Counter
from dataclasses import asdict, dataclass

from . import sampling, servers, topology
from .bench import Bench, Measured
from .cells import Cell
from .programs import OUT

SYMBOLS_SHOWN = 12


@dataclass(frozen=True)
class Cost:
    sessions: int
    rate: float
    loss: float
    user_ns: float
    kernel_ns: float
    source: str                             # "perf" or "ticks"
    symbols: tuple[tuple[str, float], ...]  # of user code: name and nanoseconds a datagram

    def as_json(self) -> dict:
        return asdict(self)


def cost(net: topology.Topology, server: servers.Server, cell: Cell, rate: float, seconds: float) -> Cost:
    """What one datagram costs in a fresh server with `cell.sessions` sessions, at a rate below saturation."""
    with Bench(net, server) as bench:
        bench.generator.allocate(cell.sessions)
        bench.drive(cell, rate, min(1.0, seconds))
        samples, measured = _sampled(bench, cell, rate, seconds)
    total = measured.task_ns_per_datagram
    source, share, symbols = "ticks", measured.spent.user_share, ()
    if samples.total():
        user = Counter({name: n for (in_kernel, name), n in samples.items() if not in_kernel})
        source, share = "perf", user.total() / samples.total()
        symbols = tuple((name, n / samples.total() * total) for name, n in user.most_common(SYMBOLS_SHOWN))
    return Cost(cell.sessions, measured.trial.offered_rate, measured.trial.loss, share * total, (1 - share) * total,
                source, symbols)


def _sampled(bench: Bench, cell: Cell, rate: float, seconds: float) -> tuple[Counter, Measured]:
    """Drives the server once while perf watches it; an empty count where perf is missing. Samples are counted by (in the
    kernel, "binary: symbol")."""
    if not sampling.is_possible():
        return Counter(), bench.drive(cell, rate, seconds)
    data = OUT / "perf.data"
    with sampling.sampling(data, seconds, "-p", str(bench.running.pid)):
        measured = bench.drive(cell, rate, seconds)
    counts = Counter((sample.in_kernel, f"{sample.binary}: {sample.symbol}") for sample in sampling.taken(data))
    return counts, measured
