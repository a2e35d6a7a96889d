"""How a server's own code and the kernel grow with the number of sessions: nanoseconds a datagram, apart.

The user share comes from `perf` sampling the CPU clock where it is there (about one sample a 250 us of run time),
else from the tick's utime and stime.
"""

import shutil
import subprocess
import time
from collections import Counter
from dataclasses import asdict, dataclass

from . import servers, topology
from .bench import Bench, Measured
from .cells import Cell
from .programs import OUT

SAMPLES_A_SECOND = 4000
SYMBOLS_SHOWN = 12
PERF_START_SECONDS = 0.5


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
    """Drives the server once while perf watches it; an empty count where perf is missing."""
    if not shutil.which("perf"):
        return Counter(), bench.drive(cell, rate, seconds)
    data = OUT / "perf.data"
    # As urgent as the server and the generator, which leave nothing to anybody else, and started before them.
    perf = subprocess.Popen(
        ["nice", "-n", "-20", "perf", "record", "-q", "-e", "cpu-clock", "-F", str(SAMPLES_A_SECOND), "-p",
         str(bench.running.pid), "-o", str(data), "--", "sleep", str(seconds + PERF_START_SECONDS)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(PERF_START_SECONDS)
        measured = bench.drive(cell, rate, seconds)
        perf.wait(seconds + 20)
    finally:
        if perf.poll() is None:
            perf.kill()
            perf.wait()
    return _count(data), measured


def _count(data) -> Counter:
    """Samples by (in the kernel, "binary: symbol")."""
    done = subprocess.run(["perf", "script", "-i", str(data), "-F", "ip,sym,dso"], capture_output=True, text=True,
                          timeout=120)
    counts: Counter = Counter()
    for line in done.stdout.splitlines():
        address, _, rest = line.strip().partition(" ")
        symbol, _, binary = rest.rpartition(" (")
        if not binary:
            continue
        in_kernel = "kernel" in binary or int(address, 16) >> 47 != 0
        counts[in_kernel, f"{binary.rstrip(')').rpartition('/')[2]}: {symbol}"] += 1
    data.unlink(missing_ok=True)
    return counts
