"""Real-time traffic: how many calls a server carries before its delay shows."""

from dataclasses import asdict, dataclass

from .bench import Bench, Measured

CALLS_MAX = 16_000
P99_LIMIT_US = 5000.0
LOSS_LIMIT = 0.01           # what is lost is later than any limit
TRIALS = 2
ON_TIME = 0.95              # of the datagrams that were due, or the generator is the limit
PRECISION = 1.1


@dataclass(frozen=True)
class CallShape:
    """Each call sends `burst` datagrams each way and period, at a moment of its own."""

    name: str
    payload: int
    burst: int
    period_us: int
    first: int              # calls to begin with

    @property
    def datagrams_a_second(self) -> float:
        """Of one call, both ways."""
        return 2 * self.burst * 1e6 / self.period_us


# G.711 in frames of 20 ms with its RTP header; 2.3 Mbit/s at 30 frames a second.
SHAPES = {shape.name: shape for shape in (
    CallShape("voice", 172, 1, 20_000, 500), CallShape("video", 1200, 8, 33_333, 50))}


@dataclass(frozen=True)
class Calls:
    calls: int              # the most that held
    generator_limited: bool # the generator has no more sessions, or no more time: the server may carry more
    rate: float             # datagrams a second, relayed
    latency_us: dict        # at that number
    cpu_ns: float           # all that the relay costs the machine, a datagram

    def as_json(self) -> dict:
        return asdict(self)


@dataclass(frozen=True)
class _Trial:
    held: bool
    late_generator: bool
    measured: Measured


def _try(bench: Bench, shape: CallShape, calls: int, seconds: float) -> _Trial:
    for _ in range(TRIALS):
        measured = bench.attempt(lambda: bench.generator.calls(
            "both", calls, shape.payload, shape.burst, shape.period_us, seconds), shape.name)
        trial = measured.trial
        on_time = trial.offered >= ON_TIME * calls * shape.datagrams_a_second * seconds
        # Of all that were offered: where the percentile falls among the lost there is none.
        p99 = trial.latency_us["p99"]
        held = trial.loss < LOSS_LIMIT and p99 is not None and p99 <= P99_LIMIT_US
        if on_time and held:
            break
    return _Trial(on_time and held, not on_time, measured)


def most_calls(bench: Bench, shape: CallShape, seconds: float) -> Calls:
    """The largest number of calls, to a tenth, whose 99th percentile stays below 5 ms and whose loss below 1 %."""
    allocated = 0
    best, low, high, calls = None, 0, CALLS_MAX + 1, shape.first
    limited = True
    while low == 0 or (high / low > PRECISION and high - low > 1 and low < CALLS_MAX):
        if calls > allocated:
            bench.generator.allocate(calls)
            bench.make_urgent()
            allocated = calls
        tried = _try(bench, shape, calls, seconds)
        if tried.held:
            low, best = calls, tried.measured
        else:
            high, limited = calls, tried.late_generator
            if high < 4:
                raise RuntimeError(f"{bench.server.name}, {shape.name}: no {high} calls hold: {tried.measured.trial}")
        calls = _next(low, high)
    trial = best.trial
    return Calls(low, limited, trial.received / trial.seconds, trial.latency_us, best.cpu_ns_per_datagram)


def _next(low: int, high: int) -> int:
    if low == 0:
        return high // 2
    if high > CALLS_MAX:
        return min(low * 2, CALLS_MAX)
    return min(max(low + 1, int((low * high) ** 0.5)), high - 1)
