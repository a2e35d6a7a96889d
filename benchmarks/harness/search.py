"""The largest rate that a server relays with less than 0.1 % loss (after RFC 2544 section 26.1, over short trials)."""

from dataclasses import asdict, dataclass, replace

from .bench import Bench, Measured, is_loaded
from .cells import Cell

LOSS_LIMIT = 0.001
# A pause of one millisecond in either process is a loss; a rate holds when it holds in one of so many trials.
TRIALS_A_RATE = 3
FLOOR = 2_000.0
CEILING = 3_000_000.0
# A generator that offers less than this share of what it was asked for is the limit itself.
OFFERED_SHARE = 0.97
OVERLOAD = 1.5
# Of the precision, by which the rate is lowered from trial to trial.
BEST_STEPS = (0, 0, 1, 2)
# Rates at which the generator falls short, until it is taken for the limit: one may be an accident.
SHORT_RATES = 2
# More than a search by a thousandth needs.
RATES_MOST = 40


@dataclass(frozen=True)
class Found:
    """The answer of one search, in datagrams a second and nanoseconds of CPU a datagram."""

    rate: float
    generator_limited: bool # the generator could offer no more
    server_loaded: bool     # the server's own threads were busy: what limited the generator was not an XDP relay beside it
    loss: float             # in the trial at that rate from which the costs are
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


@dataclass(frozen=True)
class _Trial:
    held: bool
    limited: bool       # the generator offered less than it was asked for, or lost datagrams itself
    measured: Measured


def _try(bench: Bench, cell: Cell, rate: float, seconds: float) -> _Trial:
    short = None
    for _ in range(TRIALS_A_RATE):
        measured = bench.drive(cell, rate, seconds)
        trial = measured.trial
        if trial.loss < LOSS_LIMIT:
            if trial.offered_rate >= rate * OFFERED_SHARE and trial.sink_dropped == 0:
                return _Trial(True, False, measured)
            # One pause of the generator is an accident, too.
            short = measured
        # A loss this large is none: the rate is too much.
        elif trial.loss > 0.05:
            return _Trial(False, False, measured)
    return _Trial(short is not None, short is not None, short or measured)


def flood(bench: Bench, cell: Cell, seconds: float) -> Measured:
    """As much as the generator can offer."""
    return bench.drive(cell, 0 if cell.link == "frames" else CEILING, seconds)


def largest_rate(bench: Bench, cell: Cell, seconds: float, precision: float) -> Found:
    """Narrows [what held, what did not] until they differ by `precision`; then overloads by half as much again."""
    bench.drive(cell, FLOOR * 10, 0.2)
    flooded = flood(bench, cell, seconds)
    if flooded.trial.loss < LOSS_LIMIT and cell.link == "frames":
        # A server with threads of its own may have lived on its buffers.
        longer = bench.drive(cell, 0, seconds * 2)
        if longer.trial.loss < LOSS_LIMIT or not is_loaded(longer.spent):
            return _limited(bench, cell, flooded, longer, seconds)
        flooded = longer
    rate, limited, held = _narrowed(bench, cell, max(flooded.trial.delivered_rate, FLOOR), seconds, precision)
    over = bench.drive(cell, rate * OVERLOAD, seconds * 2)
    # Twice as long as the trials that held, so what a pause lost or a little too much shows: steps down, and what the last
    # of them loses is noted.
    for steps in BEST_STEPS:
        best = bench.drive(cell, rate / (1 + precision) ** steps, seconds * 2)
        if best.trial.loss < LOSS_LIMIT:
            break
    reached = best.trial.offered_rate if best.trial.loss < LOSS_LIMIT else best.trial.delivered_rate
    return _found(bench, cell, reached, limited, best, over, [held, over, best], seconds)


def _narrowed(bench: Bench, cell: Cell, rate: float, seconds: float, precision: float) -> tuple[float, bool, Measured]:
    """The largest rate that held, from a first guess; whether the generator was the limit; and its trial."""
    low, high, held, short_rates = 0.0, CEILING, None, 0
    for _ in range(RATES_MOST):
        tried = _try(bench, cell, rate, seconds)
        if tried.held:
            short_rates += tried.limited
            # What was asked for, not what was delivered: two rates that both deliver a little less would never meet.
            reached = tried.measured.trial.offered_rate if tried.limited else rate
            if reached > low:
                low, held = reached, tried.measured
            if short_rates == SHORT_RATES:
                return low, True, held
        else:
            high = rate
            if high < FLOOR:
                raise RuntimeError(f"{bench.server.name}, {cell.name}: loses at every rate: {tried.measured}")
        if low and high / low <= 1 + precision:
            break
        rate = _next(low, high)
    if held is None:
        raise RuntimeError(f"{bench.server.name}, {cell.name}: no rate held of {RATES_MOST}")
    return low, False, held


def _found(bench: Bench, cell: Cell, rate: float, limited: bool, best: Measured, over: Measured,
           counted: list[Measured], seconds: float) -> Found:
    return Found(
        rate=rate, generator_limited=limited, server_loaded=is_loaded(best.spent), loss=best.trial.loss,
        task_ns=best.task_ns_per_datagram,
        receive_ns=best.receive_ns_per_datagram, cpu_ns=best.cpu_ns_per_datagram,
        other_ns=best.other_ns_per_datagram, user_share=best.spent.user_share,
        overload_offered=over.trial.offered_rate, overload_delivered=over.trial.delivered_rate,
        overload_task_ns=over.task_ns_per_datagram, half_latency_us=_half(bench, cell, rate, seconds),
        steal=max(m.spent.steal_share for m in counted),
        foreign=max(m.spent.foreign_share if is_loaded(m.spent) else 0.0 for m in counted))


def _half(bench: Bench, cell: Cell, rate: float, seconds: float) -> dict:
    if cell.link != "frames":
        return {}
    bench.make_urgent()
    return bench.drive(cell, rate / 2, seconds * 2, stamps=True).trial.latency_us


def _limited(bench: Bench, cell: Cell, flooded: Measured, best: Measured, seconds: float) -> Found:
    """A relay that takes all that its neighbours on the CPU leave time for: generating and receiving end there, too."""
    return _found(bench, cell, best.trial.delivered_rate, True, best, best, [flooded, best], seconds)


def overloaded(bench: Bench, cell: Cell, found: Found, seconds: float) -> Found:
    """The same with what becomes of all that the generator can offer to this bench."""
    bench.drive(cell, 0, 0.2)
    over = bench.drive(cell, 0, seconds)
    return replace(found, overload_offered=over.trial.offered_rate, overload_delivered=over.trial.delivered_rate,
                   overload_task_ns=over.task_ns_per_datagram)


def _next(low: float, high: float) -> float:
    if low == 0.0:
        return high * 0.7
    if high == CEILING:
        return low * 1.25
    return (low * high) ** 0.5
