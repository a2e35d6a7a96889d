"""The largest rate that a server relays with less than 0.1 % loss (after RFC 2544 section 26.1, over short trials)."""

from dataclasses import asdict, dataclass

from .bench import Bench, Measured
from .cells import Cell

LOSS_LIMIT = 0.001
# A pause of one millisecond in either process is a loss; a rate holds when it holds in one of so many trials.
TRIALS_A_RATE = 3
FLOOR = 2_000.0
CEILING = 3_000_000.0
# A generator that offers less than this share of what it was asked for is the limit itself.
OFFERED_SHARE = 0.97
OVERLOAD = 1.5


@dataclass(frozen=True)
class Found:
    """The answer of one search, in datagrams a second and nanoseconds of CPU a datagram."""

    rate: float
    generator_limited: bool
    task_ns: float          # of the server's threads, at the largest rate
    receive_ns: float       # of its receive path, an XDP program included, where that is a thread of its own
    cpu_ns: float           # all that the relay costs the machine, at the largest rate
    other_ns: float         # what the machine did besides, generator not included; to a tick's precision
    user_share: float
    overload_offered: float
    overload_delivered: float
    overload_task_ns: float
    half_latency_us: dict   # at half of the largest rate; empty where it is not measured
    steal: float            # shares of the CPU that others took, the largest of the trials that count
    foreign: float

    def as_json(self) -> dict:
        return asdict(self)


def holds(bench: Bench, cell: Cell, rate: float, seconds: float) -> tuple[bool, Measured]:
    for _ in range(TRIALS_A_RATE):
        measured = bench.drive(cell, rate, seconds)
        if measured.trial.loss < LOSS_LIMIT:
            return True, measured
        # A loss this large is no accident: the rate is too much.
        if measured.trial.loss > 0.05:
            break
    return False, measured


def largest_rate(bench: Bench, cell: Cell, seconds: float, precision: float) -> Found:
    """Narrows [what held, what did not] until they differ by `precision`; then overloads by half as much again."""
    bench.drive(cell, FLOOR * 10, 0.2)
    flooded = bench.drive(cell, 0 if cell.link == "frames" else CEILING, seconds)
    if flooded.trial.loss < LOSS_LIMIT and cell.link == "frames":
        return _limited(bench, cell, flooded, seconds)
    guess = max(flooded.trial.delivered_rate, FLOOR)
    low, low_measured, high = 0.0, None, CEILING
    limited, rate = False, guess
    while low == 0.0 or high / low > 1 + precision:
        held, measured = holds(bench, cell, rate, seconds)
        if held:
            low, low_measured = measured.trial.received / measured.trial.seconds, measured
            if measured.trial.offered_rate < rate * OFFERED_SHARE or measured.trial.sink_dropped > 0:
                limited = True
                break
        else:
            high = rate
            if high < FLOOR:
                raise RuntimeError(f"{bench.server.name}, {cell.name}: loses at every rate: {measured}")
        rate = _next(low, high)
    over = bench.drive(cell, low * OVERLOAD, seconds * 2)
    best = bench.drive(cell, low, seconds * 2)
    counted = [low_measured.spent, over.spent, best.spent]
    return Found(low, limited, best.task_ns_per_datagram, best.receive_ns_per_datagram, best.cpu_ns_per_datagram,
                 best.other_ns_per_datagram, best.spent.user_share, over.trial.offered_rate, over.trial.delivered_rate, over.task_ns_per_datagram,
                 _half(bench, cell, low, seconds), max(s.steal_share for s in counted),
                 max(s.foreign_share for s in counted))


def _half(bench: Bench, cell: Cell, rate: float, seconds: float) -> dict:
    if cell.link != "frames":
        return {}
    bench.make_urgent()
    return bench.drive(cell, rate / 2, seconds * 2, stamps=True).trial.latency_us


def _limited(bench: Bench, cell: Cell, flooded: Measured, seconds: float) -> Found:
    """A relay that takes all that its neighbours on the CPU leave time for: generating and receiving end there, too."""
    best = bench.drive(cell, 0, seconds * 2)
    rate = best.trial.delivered_rate
    return Found(rate, True, best.task_ns_per_datagram, best.receive_ns_per_datagram, best.cpu_ns_per_datagram,
                 best.other_ns_per_datagram, best.spent.user_share, best.trial.offered_rate, rate, best.task_ns_per_datagram,
                 _half(bench, cell, rate, seconds), max(flooded.spent.steal_share, best.spent.steal_share),
                 0.0)


def _next(low: float, high: float) -> float:
    if low == 0.0:
        return high * 0.7
    if high == CEILING:
        return low * 1.25
    return (low * high) ** 0.5
